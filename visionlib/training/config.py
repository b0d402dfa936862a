"""`TrainConfig`: every setting of a training, with its help and its unit, in one frozen dataclass without torch.

Flags of `visionlib train`, keys of a TOML file, `config.json` and the docs are all made from these fields.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from visionlib.errors import ConfigError

Flip = Literal["none", "random", "alternating"]
Policy = Literal["none", "trivial"]
Mix = Literal["none", "cutmix", "mixup", "both"]
Normalization = Literal["dataset", "half"]
Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["one-cycle", "triangular", "cosine", "constant"]
OptimizerName = Literal["sgd", "muon"]
Graphs = Literal["auto", "on", "off"]
Kernels = Literal["auto", "on", "off"]
Averaging = Literal["none", "ema"]
REMOVED = {"zero_init": False}
"""Former settings with the value at which they changed nothing: a stored config may still name them."""


_LARGEST, _LARGEST_COUNT = 1e30, 10**9
"""Of settings without a limit of their own: beyond any sense, and within float32 and the counters."""


def _setting(default: Any, text: str, *, low: float | None = None, high: float | None = None) -> Any:
    """Declare a field: default, help with unit, and closed range."""
    return field(default=default, metadata={"help": text, "low": low, "high": high})


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of a training run; a magnitude of 0 switches its augmentation off.

    Raises:
        ConfigError: if a value is out of its range; the message names the field, the value and the range.
    """

    model: str = _setting("resnet18", "network by name, or a user-defined one as package.module:NAME or file.py:NAME")
    seed: int = _setting(0, "seed of weights, order and augmentation", low=0, high=2**63 - 1)
    epochs: int = _setting(6, "passes over the training images", low=1)
    batch_size: int = _setting(128, "images per step", low=1)
    balance: bool = _setting(
        False, "draw every class equally often, in epochs of the same number of images, see docs/training.md"
    )
    stream_shards: int = _setting(
        0,
        "parquet shards in a block of the first epoch, which begins when the first block is decoded, see docs/data.md; "
        "0 decodes all shards first",
        low=0,
    )
    parts: int = _setting(
        1,
        "parts of a step, whose gradients are accumulated, to save memory; batch normalization sees a part at a time; "
        "several processes share the parts",
        low=1,
    )
    resolutions: tuple[float, ...] = _setting(
        (1.0,), "training resolutions as fractions of the image side, spread evenly over the steps: 0.5,0.75,1"
    )
    optimizer: OptimizerName = _setting(
        "sgd",
        "sgd, or muon: orthogonalized momentum for convolution filters and SGD for the rest, see docs/training.md",
    )
    muon_learning_rate: float = _setting(
        0.2, "peak learning rate of muon: the relative change of a layer's filters per step", low=0, high=1
    )
    muon_momentum: float = _setting(0.6, "Nesterov momentum of muon", low=0, high=1)
    schedule: Schedule = _setting("one-cycle", "learning-rate schedule, see docs/training.md")
    peak_learning_rate: float = _setting(0.2, "peak learning rate of the schedule", low=0)
    warmup_fraction: float = _setting(
        0.2,
        "fraction of the steps with rising learning rate; triangular cycles rise for half of each instead",
        low=0,
        high=1,
    )
    cycles: int = _setting(1, "cycles of the triangular schedule", low=1)
    momentum: float = _setting(0.9, "Nesterov momentum of SGD", low=0, high=1)
    weight_decay: float = _setting(5e-4, "weight decay per step, times the learning rate", low=0)
    norm_bias_factor: float = _setting(
        1.0,
        "learning-rate factor of batch normalization biases; their weight decay is divided by it",
        low=0.01,
    )
    body_rate_factor: float = _setting(
        1.0, "learning-rate factor of all layers but the head, the last linear layer, for fine-tuning", low=0
    )
    freeze: bool = _setting(
        False, "train the head alone, the last linear layer; all others stay as they are, with their statistics"
    )
    averaging: Averaging = _setting("none", "ema: the run keeps the exponential moving average of the weights")
    averaging_decay: float = _setting(0.99, "decay of the average per step", low=0, high=0.99999)
    sam_radius: float = _setting(
        0.0,
        "radius of sharpness-aware minimization (SAM), relative to the norms of the weights, see docs/training.md; "
        "0 is off",
        low=0,
        high=1,
    )
    sam_start: float = _setting(0.8, "fraction of the steps after which SAM begins", low=0, high=1)
    sam_fraction: float = _setting(
        0.25, "fraction of each batch that SAM computes its perturbation from", low=0.01, high=1
    )
    whiten: bool = _setting(False, "initialize the first convolution with the principal components of image patches")
    label_smoothing: float = _setting(0.1, "fraction of the target probability spread over all classes", low=0, high=1)
    flip: Flip = _setting("alternating", "mirror images: never, at random, or every other epoch")
    crop_px: int = _setting(2, "largest random shift, in pixels, with reflection at the border", low=0)
    cutout_px: int = _setting(0, "side of a random gray square, in pixels", low=0)
    erase_fraction: float = _setting(
        0.0, "fraction of the images in which a random gray rectangle hides a part", low=0, high=1
    )
    erase_area: float = _setting(0.4, "largest area of that rectangle, as a fraction of the image", low=0, high=1)
    rotate_degrees: float = _setting(0.0, "largest random rotation", low=0, high=180)
    translate_fraction: float = _setting(0.0, "largest random translation, as a fraction of the side", low=0, high=1)
    scale_fraction: float = _setting(0.0, "largest random change of scale: 0.1 is 0.9 to 1.1", low=0, high=0.9)
    brightness: float = _setting(0.0, "largest random change of brightness: 0.1 is 0.9 to 1.1", low=0)
    contrast: float = _setting(0.0, "largest random change of contrast: 0.1 is 0.9 to 1.1", low=0)
    saturation: float = _setting(0.0, "largest random change of saturation: 0.1 is 0.9 to 1.1", low=0)
    hue: float = _setting(0.0, "largest random change of hue, in turns", low=0, high=0.5)
    policy: Policy = _setting("none", "trivial: one of 14 operations for each image, at random, see docs/training.md")
    policy_strength: float = _setting(1.0, "factor of the amounts of the policy's operations", low=0, high=1)
    mix: Mix = _setting(
        "none",
        "mix images and labels: cutmix pastes a box of another image, mixup averages the two, both takes either at "
        "random",
    )
    mix_alpha: float = _setting(1.0, "images are mixed in proportions from Beta(alpha, alpha)", low=0.01, high=100)
    mix_fraction: float = _setting(0.5, "fraction of the images that are mixed", low=0, high=1)
    mix_end: float = _setting(1.0, "fraction of the training after which no epoch mixes any more", low=0, high=1)
    normalization: Normalization = _setting(
        "dataset", "dataset: mean and std of the training images; half: 0.5 and 0.5"
    )
    validation_fraction: float = _setting(
        0.0, "fraction of the training images held out and scored after each epoch", low=0, high=0.9
    )
    test_every: int = _setting(
        0,
        "epochs between evaluations on the test images, for the curve only: a choice made by them spoils the test; "
        "0 evaluates at the end only",
        low=0,
    )
    tensorboard: bool = _setting(False, "write TensorBoard event files into the run folder")
    checkpoint_s: float = _setting(
        120.0, "seconds between checkpoints, fewer where writing one takes more than 1 % of that; 0 for none", low=0
    )
    device: str = _setting("auto", "cpu, cuda, cuda:1, mps, or auto: a GPU where there is one")
    precision: Precision = _setting("auto", "bf16 or fp32; auto takes bf16 where the hardware is faster in it")
    kernels: Kernels = _setting(
        "auto",
        "own C++ kernels, for CPUs with AVX512-BF16, compiled on first use: auto uses them where a C++ compiler is "
        "installed, and fuses normalizations in built-in networks only",
    )
    cuda_graphs: Graphs = _setting(
        "auto",
        "record a training step as a CUDA graph and replay it; auto does so for built-in networks, since a "
        "user-defined one must do the same in every step",
    )
    compile: bool = _setting(
        False, "compile the network by torch.compile, on a GPU only: up to a minute before the first step"
    )
    threads: int = _setting(0, "CPU threads; 0 takes one per core. Bit-equal results need equal threads", low=0)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            _check_range(item.name, value, item.metadata["low"], item.metadata["high"])
            _check_choice(item.name, value, get_args(item.type))
        if not self.resolutions or not all(0 < fraction <= 1 for fraction in self.resolutions):
            raise ConfigError(
                "resolutions", f"{self.resolutions} has fractions outside ]0, 1]", "use for example 0.5,1"
            )

    def replace(self, **changes: Any) -> "TrainConfig":
        """Return a copy with some fields changed, checked like a new one."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return {**dataclasses.asdict(self), "resolutions": list(self.resolutions)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Build a config from a mapping, such as a TOML file or `config.json`; absent fields keep their defaults.

        Raises:
            ConfigError: if a name is unknown (the message names the closest) or a value has the wrong type.
        """
        known = {name: value for name, value in values.items() if name not in REMOVED or value != REMOVED[name]}
        return cls(**{name: parse_setting(name, value) for name, value in known.items()})


def parse_setting(name: str, value: object) -> Any:
    """Check one setting's value from TOML or JSON, and convert it to the type of its field.

    Raises:
        ConfigError: if there is no such setting, or the value has another type or is none of its choices.
    """
    fields = {item.name: item for item in dataclasses.fields(TrainConfig)}
    if name not in fields:
        close = difflib.get_close_matches(name, fields, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(fields)}"
        raise ConfigError(name, "there is no such setting", hint)
    default = fields[name].default
    if isinstance(default, tuple) and isinstance(value, list | tuple) and all(_is_number(v) for v in value):
        return tuple(float(number) for number in value)
    if isinstance(default, float) and _is_number(value):
        return float(value)  # type: ignore[arg-type]
    if type(value) is type(default) and not isinstance(default, tuple):
        _check_choice(name, value, get_args(fields[name].type))
        return value
    kind = "list of numbers" if isinstance(default, tuple) else type(default).__name__
    raise ConfigError(name, f"{value!r} is no {kind}", f"write it like {default!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if isinstance(value, str) and choices and value not in choices:
        raise ConfigError(name, f"{value!r} is none of its values", f"choose from: {', '.join(map(str, choices))}")


def _check_range(name: str, value: object, low: float | None, high: float | None) -> None:
    if not isinstance(value, int | float):
        return
    largest = high if high is not None else _LARGEST_COUNT if isinstance(value, int) else _LARGEST
    if not ((low is None or value >= low) and value <= largest):
        is_too_large = high is None and value > largest
        limits = (
            f"at most {largest:g}" if is_too_large else f"at least {low}" if high is None else f"from {low} to {high}"
        )
        raise ConfigError(name, f"{value} is out of range", f"it must be {limits}")
