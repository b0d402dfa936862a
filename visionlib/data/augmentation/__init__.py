"""Augmentation as pure batch functions of (seed, epoch, index): independent of the other images of the batch.

`mix_images` depends on one more image, the partner that its caller gives it.
"""

from visionlib.data.augmentation.affine import transform_images as transform_images
from visionlib.data.augmentation.colour import jitter_colours as jitter_colours
from visionlib.data.augmentation.crop import crop_images as crop_images
from visionlib.data.augmentation.crop import shift_images as shift_images
from visionlib.data.augmentation.cutout import cut_out_images as cut_out_images
from visionlib.data.augmentation.cutout import erase_images as erase_images
from visionlib.data.augmentation.flip import flip_images as flip_images
from visionlib.data.augmentation.flip import flip_images_alternating as flip_images_alternating
from visionlib.data.augmentation.flip import mirror_images as mirror_images
from visionlib.data.augmentation.mix import mix_images as mix_images
from visionlib.data.augmentation.policy import augment_trivially as augment_trivially
