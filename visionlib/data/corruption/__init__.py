"""Corruption of images as pure batch functions of (seed, index), as augmentation is: to measure with, never to train.

It lies in `data` because it changes pixels and knows no network; `evaluation.stress` measures with it.
"""

from visionlib.data.corruption.corruptions import CORRUPTIONS as CORRUPTIONS
from visionlib.data.corruption.corruptions import KINDS as KINDS
from visionlib.data.corruption.corruptions import STRENGTHS as STRENGTHS
from visionlib.data.corruption.corruptions import Corruption as Corruption
from visionlib.data.corruption.corruptions import corrupt_images as corrupt_images
from visionlib.data.corruption.corruptions import find_corruptions as find_corruptions
