"""Small files made by Pillow (libjpeg-turbo, libtiff): `python pictures.py` writes tests/expected/pictures/.

The photograph is 61 x 45 with a gradient and a disc; the mask is 61 x 45 with a disc of 437 pixels.
"""

import pathlib

import numpy as np
from PIL import Image

here = pathlib.Path(__file__).parent / "pictures"
y, x = np.mgrid[:45, :61]
disc = (x - 30) ** 2 + (y - 20) ** 2 <= 140
photograph = np.stack([2 * x + 60, 2 * y + 30, np.full_like(x, 20)], -1)
photograph[disc] = [200, 120, 40]
photograph = Image.fromarray(photograph.astype(np.uint8))
photograph.save(here / "baseline.jpg", quality=90, subsampling="4:2:0")
photograph.save(here / "progressive.jpg", quality=90, progressive=True)
exif = Image.Exif()
exif[0x0112] = 6
photograph.save(here / "turned.jpg", quality=90, exif=exif)
photograph.save(here / "photograph.png")

print(disc.sum(), "mask pixels")
bilevel = Image.fromarray(disc)
grey = Image.fromarray((disc * 255).astype(np.uint8))
rgba = Image.fromarray(np.dstack([disc * 255, disc * 0, disc * 0, disc * 0 + 255]).astype(np.uint8), "RGBA")
palette = Image.fromarray(disc.astype(np.uint8), "P")
palette.putpalette([0, 0, 0, 255, 0, 0])
deep = Image.fromarray((disc * 65535).astype(np.uint16))
for compression in ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"]:
    for name, picture in [("bilevel", bilevel), ("grey", grey), ("rgba", rgba), ("palette", palette), ("deep", deep)]:
        picture.save(here / f"{name}-{compression}.tif", compression=compression)
bilevel.save(here / "bilevel.png")
palette.save(here / "palette.png")
deep.save(here / "deep.png")
