"""The work of `extract` in numpy and OpenCV, with two processes: `python extract.py ROOT OUT`.

The baseline of extract.sh: 128 px patches with labels, mask pixels, mean and deviation of each channel and a histogram of 256 bins;
pixels written to one file per photograph. Nothing is hashed.
"""

import multiprocessing
import pathlib
import sys

import cv2
import numpy as np
from PIL import Image

cv2.setNumThreads(1)
root, out = pathlib.Path(sys.argv[1]) / "A. Segmentation", pathlib.Path(sys.argv[2])
folders = {"MA": "1. Microaneurysms", "HE": "2. Haemorrhages", "EX": "3. Hard Exudates", "SE": "4. Soft Exudates"}
size = 128


def extract(path):
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    cut = picture[: rows * size, : columns * size]
    patches = np.ascontiguousarray(cut.reshape(rows, size, columns, size, 3).swapaxes(1, 2))
    patches.tofile(out / f"{path.stem}.bin")
    flat = patches.reshape(rows * columns, size * size, 3)
    grey = flat.sum(2, dtype=np.uint16) // 3
    histogram = np.stack([np.bincount(patch, minlength=256) for patch in grey])
    figures = np.array([np.concatenate(cv2.meanStdDev(patch.reshape(size, size, 3))) for patch in flat])
    labels = []
    for lesion, folder in folders.items():
        file = root / "2. All Segmentation Groundtruths/a. Training Set" / folder / f"{path.stem}_{lesion}.tif"
        if not file.exists():
            labels.append(np.zeros(rows * columns, int))
            continue
        mask = np.asarray(Image.open(file))
        mask = (mask[..., :3].any(2) if mask.ndim == 3 else mask > 0)[: rows * size, : columns * size]
        labels.append(mask.reshape(rows, size, columns, size).sum((1, 3)).reshape(-1))
    np.savez(out / f"{path.stem}.npz", histogram=histogram, figures=figures, pixels=np.stack(labels, 1))


if __name__ == "__main__":
    out.mkdir(parents=True, exist_ok=True)
    photographs = sorted((root / "1. Original Images/a. Training Set").glob("*.jpg"))
    with multiprocessing.Pool(2) as pool:
        pool.map(extract, photographs, chunksize=1)
