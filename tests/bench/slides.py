"""Slides of 20,000 x 20,000 px, and programs that cut them into patches with one thread, to compare with macula (docs/data.md).

    pip install numpy tifffile imagecodecs pyvips[binary] openslide-python openslide-bin
    python tests/bench/slides.py make FOLDER              # FOLDER/jpeg/a.tif, FOLDER/deflate/a.tif, FOLDER/masks/a.tif
    python tests/bench/slides.py openslide SLIDE OUT      # all patches of 256 px as one raw file
    python tests/bench/slides.py tifffile SLIDE OUT       # the same, tile by tile: tiles of 256 px are the patches
"""

import pathlib
import sys

import numpy as np

SIDE, PATCH = 20_000, 256


def field(seed, scale):
    """Smooth noise."""
    import pyvips

    knots = np.random.default_rng(seed).normal(size=(SIDE // scale + 2,) * 2).astype(np.float32)
    return pyvips.Image.new_from_array(knots).resize(scale, kernel="cubic").crop(0, 0, SIDE, SIDE)


def make(folder):
    import pyvips

    folder = pathlib.Path(folder)
    for name in ("jpeg", "deflate", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    tissue, cells = field(1, 2000) > 0.2, field(11, 12)
    noise = pyvips.Image.gaussnoise(SIDE, SIDE, mean=0, sigma=4, seed=1)
    colours = [(215, 18, 243), (140, 30, 242), (190, 12, 245)]
    red, green, blue = [(tissue.ifthenelse(mean - cells * by, glass) + noise).cast("uchar") for mean, by, glass in colours]
    image = red.bandjoin([green, blue]).copy(interpretation="srgb")
    tiles = {"tile": True, "tile_width": PATCH, "tile_height": PATCH}
    image.tiffsave(str(folder / "jpeg/a.tif"), compression="jpeg", Q=90, pyramid=True, bigtiff=True, **tiles)
    image.tiffsave(
        str(folder / "deflate/a.tif"), compression="deflate", predictor="horizontal", pyramid=True, bigtiff=True, **tiles
    )
    mask = (field(21, 3000) > 0.5) & tissue
    mask.cast("uchar").tiffsave(str(folder / "masks/a.tif"), compression="deflate", **tiles)


def cut_by_openslide(slide, out):
    import openslide

    slide = openslide.OpenSlide(slide)
    width, height = slide.dimensions
    with open(out, "wb") as out:
        for y in range(0, height - PATCH + 1, PATCH):
            for x in range(0, width - PATCH + 1, PATCH):
                out.write(np.asarray(slide.read_region((x, y), 0, (PATCH, PATCH)))[..., :3].tobytes())


def cut_by_tifffile(slide, out):
    import tifffile

    with tifffile.TiffFile(slide) as file, open(out, "wb") as out:
        page = file.pages[0]
        tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
        # These read from the file when they are first used.
        offsets, counts, decode = page.dataoffsets, page.databytecounts, page.decode
        across = -(-page.imagewidth // PATCH)
        for y in range(page.imagelength // PATCH):
            for x in range(page.imagewidth // PATCH):
                at = y * across + x
                file.filehandle.seek(offsets[at])
                tile, _, _ = decode(file.filehandle.read(counts[at]), at, **tables)
                out.write(tile.tobytes())


if __name__ == "__main__":
    {"make": make, "openslide": cut_by_openslide, "tifffile": cut_by_tifffile}[sys.argv[1]](*sys.argv[2:])
