"""Photographs with labels: from class-named folders, tables, or packages; split by group so that nothing leaks."""

from edge.datasets.labelled import LabelledFrames
from edge.datasets.opening import open_dataset
from edge.datasets.split import Split, split_by_group

__all__ = ["LabelledFrames", "Split", "open_dataset", "split_by_group"]
