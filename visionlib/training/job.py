"""`TrainingJob`: everything that stays the same through a training."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit, hold_out
from visionlib.data.streaming import StreamedSplit
from visionlib.errors import ConfigError, ModelError
from visionlib.eval_mode import unwrap_model
from visionlib.inference.device import Compute, choose_compute
from visionlib.inference.preprocessing import scale_width
from visionlib.models import build_model
from visionlib.models.initial_weights import InitialWeights, find_head, take_weights
from visionlib.models.layout import initialize_lazy, prepare_layout
from visionlib.runs import Run
from visionlib.runs.training_records import ComputeRecord
from visionlib.training.config import TrainConfig
from visionlib.training.cpu import choose_kernels
from visionlib.training.distributed import SINGLE_PROCESS, ProcessGroup
from visionlib.training.pace import Pace, TimeBudget
from visionlib.training.schedule import scale_side
from visionlib.training.shard_order import first_block, shard_order

_GPU_FRACTION = 0.5
"""Of a GPU's free memory, for the images; networks, activations and two blocks of images need the rest."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything that stays the same through a training: images, settings, device, preprocessing, processes.

    Attributes:
        split: images to learn from, on the device, or in the computer's memory where they do not fit.
        config: every setting.
        compute: device, precision, threads and kernels.
        mean: per channel, as fractions of 255.
        std: per channel, as fractions of 255.
        group: the processes that train together.
        network: to train instead of that which the settings name: built already, or its class or function.
        planned: number of steps, and the fraction of the schedules that each covers; None for whole epochs.
        budget: time for the steps, by which that plan is changed while they go.
        init: weights to begin with; None for those of the seed, and in a resumed run, whose checkpoint holds all.
    """

    split: ImageSplit
    config: TrainConfig
    compute: Compute
    mean: tuple[float, ...]
    std: tuple[float, ...]
    group: ProcessGroup = SINGLE_PROCESS
    network: nn.Module | Callable[..., object] | None = None
    planned: Pace | None = None
    budget: TimeBudget | None = None

    @property
    def pace(self) -> Pace:
        """The pace that the training begins with."""
        return self.planned or Pace.of_steps(self.config.epochs * self.steps_per_epoch)

    init: InitialWeights | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch; the last ones may be one image smaller."""
        return -(-len(self.split) // self.config.batch_size)

    def count_steps(self, epochs: int, steps: int) -> int:
        """Return the number of steps in whole epochs and some steps of another one."""
        return epochs * self.steps_per_epoch + steps

    @property
    def images_per_step(self) -> float:
        """Mean number of images per batch."""
        return len(self.split) / self.steps_per_epoch

    @property
    def parts(self) -> int:
        """Parts of a step, in all processes together; each of them has at least one."""
        return max(self.config.parts, self.group.size)

    @property
    def final_input_size(self) -> tuple[int, int]:
        """Height and width of the last step's inputs: a network is at its best at the size that it saw last."""
        height, width = self.split.image_size
        side_px = scale_side(self.config.resolutions[-1], height)
        return side_px, scale_width(height, width, side_px)

    def build_model(self) -> nn.Module:
        """Build the network with the weights to begin with, or those that its seed draws, channels-last on the device.

        A network that was built already is returned itself, with its weights.

        Raises:
            ModelError: if it cannot be built, its lazy layers cannot be initialized, or the weights to begin with do
                not fit.
        """
        if isinstance(self.network, nn.Module):
            model = unwrap_model(self.network)
        else:
            model = build_model(
                self.network or self.config.model,
                classes=len(self.split.classes),
                channels=self.split.channels,
                seed=self.config.seed,
            )
        initialize_lazy(model, (self.split.channels, *self.final_input_size), seed=self.config.seed)
        if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
            raise ModelError(
                self.config.model, "has tensors on the meta device, without numbers", "build it on the CPU"
            )
        prepare_layout(model.to(self.compute.device))
        if self.init is not None:
            take_weights(model, self.init, self.split.classes)
        return model

    def first_images(self, count: int) -> UInt8[Tensor, "k c h w"]:
        """Return some images, for what needs any: the first ones, or of shards the first to be decoded."""
        config = self.config
        if not config.stream_shards:
            return self.split.images[:count]
        return self.split.gather(first_block(self.split, config.seed, config.stream_shards)[:count])

    def find_head(self, model: nn.Module) -> nn.Linear | None:
        """Find the last linear layer with an output for each class; None without one."""
        name = find_head(model, len(self.split.classes))
        return None if name is None else cast("nn.Linear", model.get_submodule(name))

    def set_training_mode(self, model: nn.Module) -> nn.Module:
        """Put a network into training mode; with `freeze` its head alone, and all else learns nothing in eval mode."""
        if not self.config.freeze:
            return model.train()
        self.check_head(model)
        model.eval().requires_grad_(False)
        if (head := self.find_head(model)) is not None:
            head.train().requires_grad_(True)
        return model

    def check_head(self, model: nn.Module) -> None:
        """Check that there is a head if it is to be trained alone.

        Raises:
            ModelError: if there is none.
        """
        if self.config.freeze and self.find_head(model) is None:
            problem = f"has no linear layer with {len(self.split.classes)} outputs, which freeze trains alone"
            raise ModelError(self.config.model, problem, "leave --freeze out, or end the network in an nn.Linear")


def choose_training_compute(config: TrainConfig, group: ProcessGroup = SINGLE_PROCESS) -> Compute:
    """Choose device, precision, threads and kernels by the settings.

    Raises:
        ConfigError: if the device is absent, or kernels are asked for and cannot be had.
    """
    local_rank = group.local_rank if group.size > 1 else None
    compute = choose_compute(
        config.device, config.precision, config.threads, local_rank=local_rank, local_size=group.local_size
    )
    return choose_kernels(dataclasses.replace(compute, processes=group.size), config.kernels)


def choose_same_compute(
    run: Run, settings: TrainConfig, used: ComputeRecord, group: ProcessGroup
) -> tuple[TrainConfig, Compute]:
    """Choose the device, precision, threads and kernels that a run began with: others would round differently.

    Raises:
        ConfigError: if this machine lacks them.
    """
    config = settings.replace(device=used.device, precision=used.precision, threads=used.threads)
    if group.size > 1:  # which share the cores of a machine
        most = choose_training_compute(config.replace(threads=0), group).threads
        config = config.replace(threads=min(used.threads, most))
    had_kernels = used.kernels == "own"
    compute = choose_training_compute(config if had_kernels else config.replace(kernels="off"), group)
    if had_kernels and compute.kernels != "own":
        raise ConfigError(
            str(run.path), f"was begun with kernels that cannot be had here: {compute.reason}", "resume it where it was"
        )
    return config, compute


def make_job(
    dataset: Dataset,
    config: TrainConfig,
    compute: Compute,
    group: ProcessGroup = SINGLE_PROCESS,
    *,
    network: nn.Module | Callable[..., object] | None = None,
    init: InitialWeights | None = None,
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
) -> tuple[TrainingJob, ImageSplit]:
    """Return the job, and the images that are held out of it for validation, of which there may be none.

    Args:
        dataset: its training split is learned from.
        config: every setting.
        compute: device, precision, threads and kernels.
        group: the processes that train together.
        network: as in `TrainingJob`.
        init: as in `TrainingJob`. Its mean and std, where they are known, belong to the network, and replace those of
            the data.
        normalization: mean and std of the weights that a resumed run began with.
    Raises:
        ConfigError: if no images are left to learn from, or too few for the parts of a step or for the processes, or
            the device cannot do what is asked for.
    """
    if config.compile and not compute.device.startswith("cuda"):
        raise ConfigError("compile", f"it is made for GPUs, and this trains on {compute.device}", "leave it out")
    if isinstance(dataset.train, StreamedSplit):
        count = len(dataset.train.sources.files) if dataset.train.sources else 0
        dataset.train.begin(shard_order(count, config.seed).tolist())
    split, validation = _hold_out_validation(dataset.train, config)
    if init is not None and init.mean is not None and init.std is not None:
        normalization = init.mean, init.std
    mean, std = normalization or _choose_normalization(split, config)
    if len(mean) != split.channels:
        problem = f"are of a network for images of {len(mean)} channels, and these have {split.channels}"
        remedy = f"take weights for {split.channels} channels, or convert the images"
        raise ModelError("weights to begin with" if init is None else init.source, problem, remedy)
    if config.crop_px >= (side := min(split.image_size)):
        problem = f"{config.crop_px} px are no shift within images of {split.image_size[1]} x {split.image_size[0]} px"
        raise ConfigError("crop_px", problem, f"set 0 to {side - 1}")
    job = TrainingJob(place_images(split, compute), config, compute, mean, std, group, network, init=init)
    smallest_batch = len(split) // job.steps_per_epoch
    if group.size > 1 and smallest_batch < 2 * group.size:
        raise ConfigError(
            "batch_size",
            f"batches of {smallest_batch} images are less than two for each of {group.size} processes",
            "set it higher, or take fewer processes",
        )
    if config.parts > 1 and smallest_batch < 2 * config.parts:
        raise ConfigError("parts", f"of {config.parts} each has less than two images of a step", "take fewer")
    return job, validation


def place_images(split: ImageSplit, compute: Compute) -> ImageSplit:
    """Bring images to the device, unless they would take more than half of a GPU's free memory."""
    if not compute.device.startswith("cuda"):
        return split.to(compute.device)
    if isinstance(split, StreamedSplit):
        return split
    free, _ = torch.cuda.mem_get_info(compute.device)
    return split.to(compute.device) if split.images.nbytes <= _GPU_FRACTION * free else split


def _hold_out_validation(split: ImageSplit, config: TrainConfig) -> tuple[ImageSplit, ImageSplit]:
    if config.validation_fraction:
        learned, validation = hold_out(split, config.validation_fraction, config.seed)
    else:
        learned, validation = split, split.subset(torch.zeros(0, dtype=torch.int64))
    if len(learned) < 2:
        raise ConfigError("train split", f"{len(learned)} images are left to learn from", "give it more images")
    return learned, validation


def _choose_normalization(split: ImageSplit, config: TrainConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if config.normalization == "half":
        return (0.5,) * split.channels, (0.5,) * split.channels
    if config.stream_shards:  # the first block is all that is there
        positions = first_block(split, config.seed, config.stream_shards)
        split = ImageSplit(split.gather(positions), split.labels[positions], split.classes, split.index[positions])
    return split.mean, tuple(std or 1.0 for std in split.std)  # a constant channel is only shifted
