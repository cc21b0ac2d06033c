"""Slides, and their pixels as tifffile and OpenSlide read them, for tests/it/extract/slides.rs.

    pip install numpy tifffile imagecodecs pyvips[binary] openslide-python openslide-bin
    python tests/expected/slides.py

Writes tests/expected/slides/*.tif and tests/expected/slides.json: for each file its levels, each with its size and every seventh pixel of
every seventh row as hexadecimal digits. Prints how far OpenSlide and libjpeg-turbo are from each other.
"""

import json
import pathlib

import numpy as np
import pyvips
import tifffile

HERE = pathlib.Path(__file__).parent
OUT = HERE / "slides"
WIDTH, HEIGHT, TILE, STEP = 300, 250, 64, 7


def picture(width, height):
    """Pink tissue with darker cells on white glass; smooth, so that JPEG says little about the decoder's rounding."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    u, v = x / width, y / height
    tissue = 1 / (1 + np.exp(30 * (np.hypot(u - 0.45, v - 0.5) - 0.36)))
    cells = 0.5 + 0.5 * np.sin(40 * u + 5 * v) * np.sin(35 * v - 4 * u)
    colour = np.stack([225 - 60 * cells, 150 - 90 * cells, 195 - 40 * cells], axis=-1)
    glass = np.array([243, 242, 245.0])
    return (glass + tissue[..., None] * (colour - glass)).round().astype(np.uint8)


def halved(image):
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    parts = image[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return parts.astype(np.uint16).mean(axis=(1, 3)).round().astype(np.uint8)


def write(name, inner, levels, description=None, thumbnail=False, bigtiff=False, byteorder="<", **how):
    """Levels as sub-images of the first page (`inner`), or as pages; `thumbnail` adds what an Aperio scanner adds."""
    how = {"photometric": "rgb", "tile": (TILE, TILE), "metadata": None, **how}
    with tifffile.TiffWriter(OUT / name, bigtiff=bigtiff, byteorder=byteorder) as out:
        out.write(levels[0], subifds=len(levels) - 1 if inner else None, description=description, **how)
        if thumbnail:
            plain = {"photometric": "rgb", "metadata": None, "compression": "zlib"}
            out.write(levels[-1][:, :74], rowsperstrip=16, **plain)
        for level in levels[1:]:
            out.write(level, subfiletype=1 if inner or not thumbnail else 0, **how)
        if thumbnail:
            out.write(levels[-1][:60, :60], subfiletype=1, rowsperstrip=16, **plain)
            out.write(levels[-1][:, :70], subfiletype=9, rowsperstrip=16, **plain)


def grid(pixels):
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    return pixels[::STEP, ::STEP, :3].astype(np.uint8).tobytes().hex()


def levels_of(name):
    with tifffile.TiffFile(OUT / name) as file:
        pages = [page for page in file.pages]
        first = pages[0]
        found = [first, *(first.pages or [])] if first.subifds else [first, *pages[1:]]
        tiled = first.is_tiled
        is_level = lambda page: page.is_tiled == tiled and page.shape[0] * first.shape[1] // first.shape[0] in range(
            page.shape[1] - 3, page.shape[1] + 4
        )
        return [page.asarray() for page in found if is_level(page)]


def main():
    OUT.mkdir(exist_ok=True)
    whole = picture(WIDTH, HEIGHT)
    pyramid = [whole, halved(whole), halved(halved(whole))]
    write("deflate.tif", True, pyramid, compression="zlib", predictor=True)
    write("lzw-big-endian.tif", True, pyramid, compression="lzw", predictor=True, byteorder=">")
    write("bigtiff.tif", False, pyramid, compression="zlib", predictor=True, bigtiff=True, resolution=(40000, 40000),
          resolutionunit="CENTIMETER")
    write("aperio.svs", False, pyramid, compression="jpeg", thumbnail=True,
          description="Aperio Image Library v12\r\n300x250 [0,0,300x250] (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990")
    write("jpeg-420.tif", True, pyramid, compression="jpeg", compressionargs={"level": 90}, photometric="ycbcr", subsampling=(2, 2))
    write("jpeg-rgb.tif", True, pyramid, compression="jpeg", compressionargs={"level": 92, "outcolorspace": "rgb"},
          photometric="rgb")
    write("uncompressed-strip.tif", False, pyramid[1:2], tile=None)
    write("strips.tif", False, pyramid[:2], tile=None, rowsperstrip=10, compression="lzw", predictor=True)
    grey = [level[..., 1] for level in pyramid[:2]]
    write("grey.tif", True, grey, compression="zlib", predictor=True, photometric="minisblack")
    write("jpeg-grey.tif", True, grey, compression="jpeg", compressionargs={"level": 90}, photometric="minisblack")
    vips = pyvips.Image.new_from_memory(whole.tobytes(), WIDTH, HEIGHT, 3, "uchar").copy(interpretation="srgb")
    tiles = {"tile": True, "pyramid": True, "tile_width": TILE, "tile_height": TILE}
    vips.tiffsave(str(OUT / "vips-jpeg.tif"), compression="jpeg", Q=90, bigtiff=True, **tiles)
    vips.tiffsave(str(OUT / "vips-deflate.tif"), compression="deflate", predictor="horizontal", subifd=True, **tiles)
    write("jpeg-2000.tif", True, [whole[:128, :128]], compression="jpeg2000", compressionargs={"level": 80})
    write("deep.tif", True, [(whole[:128, :128].astype(np.uint16) * 257)], compression="zlib")

    found = {}
    for path in sorted(OUT.iterdir()):
        if path.name in ("jpeg-2000.tif", "deep.tif"):
            continue
        levels = levels_of(path.name)
        subsampled = path.name in ("aperio.svs", "jpeg-420.tif")
        jpeg = "jpeg" in path.name
        found[path.name] = {
            "pixels": "subsampled jpeg" if subsampled else "jpeg" if jpeg else "lossless",
            "levels": [{"size": [level.shape[1], level.shape[0]], "grid": grid(level)} for level in levels],
        }
        print(path.name, path.stat().st_size, [level.shape for level in levels])
        try:
            import openslide

            slide = openslide.OpenSlide(str(path))
        except Exception as error:
            print("    OpenSlide:", error)
            continue
        for number, level in enumerate(levels[: slide.level_count]):
            size = slide.level_dimensions[number]
            pixels = np.asarray(slide.read_region((0, 0), number, size))[..., :3].astype(int)
            if level.ndim == 2:
                level = np.repeat(level[..., None], 3, axis=-1)
            same = pixels.shape == level.shape
            print("    OpenSlide level", number, size, "differs by", np.abs(pixels - level).max() if same else pixels.shape)
    (HERE / "slides.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
