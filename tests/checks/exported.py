"""Reads exported photographs as other programs do: `python exported.py EXPORTS`, a folder with `png`, `coco` and `geojson`.

Masks decoded by pycocotools, polygons rasterised by shapely (pixels whose centre is inside), and their areas, must be those of the PNG
masks, pixel for pixel.
"""

import json
import pathlib
import sys

import numpy as np
import shapely
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from shapely.geometry import shape

folder = pathlib.Path(sys.argv[1])


def masks_of(name, classes, size):
    """Lesion pixels of each class, by the exported PNG masks."""
    found = {}
    for label in classes:
        file = folder / "png" / "masks" / label / f"{name}.png"
        found[label] = np.asarray(Image.open(file)) > 0 if file.exists() else np.zeros(size, bool)
    return found


coco = COCO(str(folder / "coco" / "annotations.json"))
names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
lesions = polygons = pixels = 0
for image in coco.loadImgs(coco.getImgIds()):
    picture = Image.open(folder / "coco" / "images" / image["file_name"])
    assert picture.size == (image["width"], image["height"]), image
    size = (image["height"], image["width"])
    right = masks_of(pathlib.Path(image["file_name"]).stem, names.values(), size)
    decoded = {name: [] for name in names.values()}
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
        runs = coco.annToRLE(annotation)
        decoded[names[annotation["category_id"]]].append(runs)
        assert annotation["area"] == rle.area(runs) and annotation["bbox"] == rle.toBbox(runs).tolist(), annotation["id"]
        lesions += 1
        polygons += isinstance(annotation["segmentation"], list)
    for name, mask in right.items():
        together = rle.decode(rle.merge(decoded[name])) if decoded[name] else np.zeros(size)
        assert (together == mask).all() and sum(map(rle.area, decoded[name])) == mask.sum(), (image["file_name"], name)
        assert mask.any() or image["neg_category_ids"], "an absent class is listed"
        pixels += int(mask.sum())
assert lesions > 0
print(f"{lesions} lesions of {len(coco.imgs)} photographs ({polygons} polygons, the others run lengths): {pixels} pixels equal")

features = 0
for file in sorted((folder / "geojson" / "geojson").glob("*.geojson")):
    collection = json.loads(file.read_text())
    size = (collection["height"], collection["width"])
    right = masks_of(file.stem, collection["classes"], size)
    drawn = {name: np.zeros(size, int) for name in right}
    for feature in collection["features"]:
        geometry = shape(feature["geometry"])
        assert geometry.is_valid and geometry.area == feature["properties"]["pixels"], feature["id"]
        left, top, right_edge, bottom = (int(edge) for edge in geometry.bounds)
        xs, ys = np.meshgrid(np.arange(left, right_edge) + 0.5, np.arange(top, bottom) + 0.5)
        inside = shapely.contains_xy(geometry, xs, ys)
        drawn[feature["properties"]["classification"]["name"]][top:bottom, left:right_edge] += inside
        features += 1
    for name, mask in right.items():
        assert (drawn[name] == mask).all(), (file.name, name)
assert features == lesions, (features, lesions)
print(f"{features} features of QuPath: areas and pixels equal")
