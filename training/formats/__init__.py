"""Importers: other people's annotations as ours, whatever their format, with a list of what is wrong in them.

One room for each format: xView, DOTA, COCO, YOLO, and our own polygons. See docs/datasets.md.
"""

from training.formats import coco, dota, yolo
from training.formats.annotations import Annotations, Fault
from training.formats.polygons import as_truth
from training.formats.reading import read

__all__ = ["Annotations", "Fault", "as_truth", "coco", "dota", "read", "yolo"]
