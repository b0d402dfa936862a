"""Datasets as uint8 tensors that stay on the device, and augmentation as pure functions of a batch."""

from visionlib.data.dataset import Dataset as Dataset
from visionlib.data.dataset import ImageSplit as ImageSplit
from visionlib.data.holdout import hold_out as hold_out
from visionlib.data.load import NAMES as NAMES
from visionlib.data.load import load_dataset as load_dataset
from visionlib.data.shapes import draw_shapes as draw_shapes
from visionlib.data.shapes import load_shapes as load_shapes
