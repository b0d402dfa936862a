"""`Fit`: what stays the same through a run."""

from dataclasses import dataclass

import torch

from visionlib.data import ImageSplit
from visionlib.training.config import TrainConfig
from visionlib.training.device import Compute
from visionlib.training.world import ALONE, World


@dataclass(frozen=True)
class Fit:
    """What stays the same through a run: the images to learn from, how they are shown, and on what."""

    split: ImageSplit
    config: TrainConfig
    compute: Compute
    mean: tuple[float, ...]
    std: tuple[float, ...]
    world: World = ALONE

    @property
    def steps_per_epoch(self) -> int:
        """Batches that an epoch is cut into; the last ones may be one image smaller."""
        return -(-len(self.split) // self.config.batch_size)

    @property
    def parts(self) -> int:
        """Parts that this process works through its images of a step in; several processes are parts themselves."""
        return self.config.parts if self.world.size == 1 else 1

    @property
    def number_format(self) -> torch.dtype:
        """What products are computed in."""
        return torch.bfloat16 if self.compute.precision == "bf16" else torch.float32
