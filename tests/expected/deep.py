"""PNG and TIFF files of 16 bits, written by OpenCV and tifffile, and their pixels according to the other reader: `python deep.py` writes
tests/expected/deep.json. Needs numpy, opencv-python-headless, tifffile and imagecodecs; made with 2.4.6, 5.0.0, 2026.3.3 and 2026.3.6.

For each file, the JSON has the file (zlib, base64), and red, green and blue of its pixels in 8 bits: `round(value * 255 / 65535)`. Files that
OpenCV wrote are read by tifffile (TIFF) or imagecodecs (PNG), and those of tifffile by OpenCV, so that no program reads its own.
"""

import base64
import io
import json
import pathlib
import zlib

import cv2
import imagecodecs
import numpy as np
import tifffile

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(16)
colour = rng.integers(0, 65536, (10, 13, 3)).astype(np.uint16)
colour[0, :3] = [[0, 65535, 128], [127, 129, 385], [32767, 32768, 257]]
grey = colour[..., 0]
cases = []


def case(name, data, read, wanted):
    assert np.array_equal(read, wanted), name
    levels = np.floor(read.astype(np.float64) * 255 / 65535 + 0.5).astype(np.uint8)
    rgb = levels if levels.ndim == 3 else np.stack([levels] * 3, -1)
    text = lambda data: base64.b64encode(data).decode()
    cases.append({"name": name, "rgb": text(rgb.tobytes()), "file": text(zlib.compress(data, 9))})


for name, pixels in [("grey", grey), ("RGB", colour)]:
    swapped = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    data = cv2.imencode(".png", swapped)[1].tobytes()
    case(f"PNG {name}", data, imagecodecs.png_decode(data), pixels)
    data = cv2.imencode(".tiff", swapped)[1].tobytes()
    case(f"TIFF {name} by OpenCV", data, tifffile.imread(io.BytesIO(data)), pixels)
    for order in "<>":
        for compression, predictor in [(None, None), ("deflate", None), ("deflate", 2), ("lzw", None), ("lzw", 2), ("packbits", None)]:
            for tile in [None, (16, 16)]:
                out = io.BytesIO()
                kind = "rgb" if pixels.ndim == 3 else "minisblack"
                tifffile.imwrite(
                    out, pixels, byteorder=order, compression=compression, predictor=predictor, photometric=kind, tile=tile,
                    rowsperstrip=None if tile else 4, metadata=None,
                )
                read = cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
                read = read[..., ::-1] if pixels.ndim == 3 else read
                case(f"TIFF {name} {order} {compression} {predictor} {tile}", out.getvalue(), read, pixels)
out = io.BytesIO()
tifffile.imwrite(out, colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", metadata=None)
# OpenCV 5.0.0 reads other values from planes.
case("TIFF RGB in planes", out.getvalue(), tifffile.imread(io.BytesIO(out.getvalue())).transpose(1, 2, 0), colour)
(here / "deep.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
print(len(cases), "files,", (here / "deep.json").stat().st_size, "bytes")
