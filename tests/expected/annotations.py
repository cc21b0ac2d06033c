"""Masks of annotations by pycocotools 2.0.11, shapely 2.2.0 and NumPy 2.4.6, for tests/it/extract/annotations.rs.

python3 -m venv target/annotations
target/annotations/bin/pip install pycocotools==2.0.11 shapely==2.2.0 numpy==2.4.6
target/annotations/bin/python tests/expected/annotations.py

`coco` is a COCO file. Each image has polygons (label `polygon`), the pixels whose centres shapely finds inside of one of them as
uncompressed run lengths (`centres`), and the same pixels as pycocotools compresses them (`compressed`). `qupath` has polygons with holes
as GeoJSON with their pixels, `cvat` rotated boxes and ellipses. The script prints in how many pixels `annToMask` of pycocotools differs.
"""

import json
import math
import random
from pathlib import Path

import numpy as np
import shapely
from pycocotools import mask as coco_mask
from shapely import affinity
from shapely.geometry import MultiPolygon, Point, Polygon, box, mapping, shape

WIDTH, HEIGHT = 61, 47


CENTRES = [Point(x + 0.5, y + 0.5) for y in range(HEIGHT) for x in range(WIDTH)]


def is_clear(geometry):
    """Whether no centre is on an edge, where two rules may differ."""
    return (shapely.distance(geometry.boundary, CENTRES) > 1e-9).all()


def centres(geometry):
    """Pixels whose centres are inside."""
    assert is_clear(geometry)
    return shapely.contains(geometry, CENTRES).astype(np.uint8).reshape(HEIGHT, WIDTH)


def counts(mask):
    """Uncompressed run lengths, column by column, outside first."""
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return np.diff(np.concatenate([[0], edges])).tolist()


def compressed(mask):
    return coco_mask.encode(np.asfortranarray(mask))["counts"].decode()


def star(draw, x, y, radius, corners):
    """A polygon around a point, which does not cross itself."""
    while True:
        ring = []
        for corner in range(corners):
            angle = 2 * math.pi * (corner + draw.uniform(0.1, 0.9)) / corners
            far = radius * draw.uniform(0.4, 1.0)
            ring.append((round(x + far * math.cos(angle), 2), round(y + far * math.sin(angle), 2)))
        if is_clear(Polygon(ring)):
            return Polygon(ring)


def coco(draw):
    images, annotations = [], []
    differ = inside = 0

    def add(image, category, segmentation):
        annotations.append(
            {"id": 100 + len(annotations), "image_id": image, "category_id": category, "iscrowd": 0, "segmentation": segmentation}
        )

    for image in range(24):
        images.append({"id": image, "file_name": f"photographs/{image:02}.png", "width": WIDTH, "height": HEIGHT})
        together = np.zeros((HEIGHT, WIDTH), np.uint8)
        by_coco = np.zeros((HEIGHT, WIDTH), np.uint8)
        for _ in range(draw.randint(1, 4)):
            polygon = star(draw, draw.uniform(-2, WIDTH), draw.uniform(-2, HEIGHT), draw.uniform(3, 25), draw.randint(3, 30))
            pixels = centres(polygon)
            if not pixels.any():
                continue
            flat = [float(number) for point in polygon.exterior.coords[:-1] for number in point]
            add(image, 1, [flat])
            together |= pixels
            by_coco |= coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([flat], HEIGHT, WIDTH)))
        if not together.any():
            continue
        add(image, 2, {"size": [HEIGHT, WIDTH], "counts": counts(together)})
        add(image, 3, {"size": [HEIGHT, WIDTH], "counts": compressed(together)})
        assert (coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": compressed(together)}) == together).all()
        differ += int((by_coco != together).sum())
        inside += int(together.sum())
    print(f"annToMask differs in {differ} pixels, of {inside} that have their centre inside")
    categories = [{"id": 1, "name": "polygon"}, {"id": 2, "name": "centres"}, {"id": 3, "name": "compressed"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def qupath(draw):
    found = []
    for _ in range(8):
        parts = []
        for x in (15, 45):
            outer = star(draw, x, draw.uniform(15, 30), draw.uniform(8, 14), draw.randint(5, 20))
            hole = star(draw, *outer.centroid.coords[0], 3, draw.randint(3, 8))
            parts.append(outer.difference(hole))
        geometry = MultiPolygon([part for part in parts if isinstance(part, Polygon)])
        feature = {
            "type": "Feature",
            "id": f"{draw.getrandbits(32):08x}",
            "geometry": mapping(geometry),
            "properties": {"objectType": "annotation", "classification": {"name": "Exudate", "color": [200, 0, 0]}},
        }
        feature = json.loads(json.dumps(feature))
        pixels = centres(shape(feature["geometry"]))
        found.append({"geojson": {"type": "FeatureCollection", "features": [feature]}, "counts": counts(pixels)})
    return found


def cvat(draw):
    found = []
    for _ in range(12):
        left, top = draw.uniform(5, 25), draw.uniform(5, 20)
        right, bottom = left + draw.uniform(4, 25), top + draw.uniform(4, 20)
        degrees = draw.choice([0, 30, 45, 137.5, 270, 359.9])
        left, top, right, bottom = (round(side, 2) for side in (left, top, right, bottom))
        # In shapely's coordinates y points up, so that its counter-clockwise is clockwise on a picture.
        turned = affinity.rotate(box(left, top, right, bottom), degrees, origin="center")
        words = f'xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" rotation="{degrees}"'
        found.append({"element": f'<box label="a" occluded="0" {words} z_order="0"></box>', "counts": counts(centres(turned))})
        x, y, wide, high = ((left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2)
        columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5 - x, np.arange(HEIGHT) + 0.5 - y)
        angle = math.radians(degrees)
        along = columns * math.cos(angle) + rows * math.sin(angle)
        across = rows * math.cos(angle) - columns * math.sin(angle)
        pixels = ((along / wide) ** 2 + (across / high) ** 2 <= 1).astype(np.uint8)
        words = f'cx="{x}" cy="{y}" rx="{wide}" ry="{high}" rotation="{degrees}"'
        found.append({"element": f'<ellipse label="a" occluded="0" {words} z_order="0"></ellipse>', "counts": counts(pixels)})
    return found


draw = random.Random(7)
found = {"width": WIDTH, "height": HEIGHT, "coco": coco(draw), "qupath": qupath(draw), "cvat": cvat(draw)}
Path(__file__).with_suffix(".json").write_text(json.dumps(found, separators=(",", ":")) + "\n")
