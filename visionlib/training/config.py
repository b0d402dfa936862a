"""`TrainConfig`: every setting of a training run, with its help and its unit, in one frozen record without torch.

Flags of `visionlib train`, keys of a TOML file, `config.json` and the docs are all made from these fields.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from visionlib.errors import ConfigError

Flip = Literal["none", "random", "alternating"]
Normalization = Literal["dataset", "half"]
Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["one-cycle", "triangular", "cosine", "constant"]
OptimizerName = Literal["sgd", "muon"]
Graphs = Literal["auto", "on", "off"]
Kernels = Literal["auto", "on", "off"]
Averaging = Literal["none", "ema", "lookahead"]


def _setting(default: Any, text: str, *, low: float | None = None, high: float | None = None) -> Any:
    """Declare a field: its default, what it means with its unit, and the closed range it must lie in."""
    return field(default=default, metadata={"help": text, "low": low, "high": high})


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of a training run; a magnitude of 0 switches its augmentation off.

    Raises:
        ConfigError: if a value is out of its range; the message names the field, the value and the range.
    """

    model: str = _setting("resnet18", "network by name, or your own as package.module:function")
    seed: int = _setting(0, "decides weights, order and augmentation", low=0)
    epochs: int = _setting(6, "passes over the training images", low=1)
    batch_size: int = _setting(128, "images per step", low=1)
    parts: int = _setting(
        1, "parts that a step is worked through in, to save memory; batch normalisation sees a part at a time", low=1
    )
    resolutions: tuple[float, ...] = _setting(
        (1.0,), "share of the image side trained at, spread evenly over the steps: 0.5,0.75,1"
    )
    optimizer: OptimizerName = _setting(
        "sgd", "how weights learn: all by SGD, or filters by orthogonalised momentum, see docs/training.md"
    )
    muon_learning_rate: float = _setting(
        0.2, "highest rate of muon's filters: the share of their length that a step changes", low=0, high=1
    )
    muon_momentum: float = _setting(0.6, "Nesterov momentum of muon's filters", low=0, high=1)
    schedule: Schedule = _setting("one-cycle", "how the learning rate goes over the steps, see docs/training.md")
    peak_learning_rate: float = _setting(0.2, "highest learning rate of the schedule", low=0)
    warmup_fraction: float = _setting(
        0.2,
        "share of the steps in which the rate rises; triangular cycles rise for half of each instead",
        low=0,
        high=1,
    )
    cycles: int = _setting(1, "number of triangular cycles; other schedules have none", low=1)
    momentum: float = _setting(0.9, "Nesterov momentum", low=0, high=1)
    weight_decay: float = _setting(5e-4, "decay of all weights per step, times the rate", low=0)
    norm_bias_factor: float = _setting(
        1.0,
        "rate of the biases of batch normalisations, times that of the other weights; their decay is divided by it",
        low=0.01,
    )
    averaging: Averaging = _setting("none", "average of the weights that the run keeps, see docs/training.md")
    averaging_decay: float = _setting(0.99, "share of the average that a step keeps", low=0, high=0.99999)
    sam_radius: float = _setting(
        0.0,
        "how far uphill the last steps learn from, as a share of the weights' lengths: sharpness-aware, see "
        "docs/training.md; 0 is off",
        low=0,
        high=1,
    )
    sam_start: float = _setting(0.8, "share of the steps after which they do", low=0, high=1)
    sam_fraction: float = _setting(0.25, "share of a step's images that tells which way is uphill", low=0.01, high=1)
    whiten: bool = _setting(False, "begin the first convolution with the principal components of the images' patches")
    zero_init: bool = _setting(False, "begin each residual block as its shortcut alone")
    label_smoothing: float = _setting(0.1, "share of the target spread over all classes", low=0, high=1)
    flip: Flip = _setting("alternating", "mirror images: never, at random, or every other epoch")
    crop_px: int = _setting(2, "largest random shift, in pixels, mirrored at the border", low=0)
    cutout_px: int = _setting(0, "side of a random grey square, in pixels", low=0)
    rotate_degrees: float = _setting(0.0, "largest random rotation", low=0, high=180)
    translate_fraction: float = _setting(0.0, "largest random translation, share of the side", low=0, high=1)
    scale_fraction: float = _setting(0.0, "largest random change of scale: 0.1 is 0.9 to 1.1", low=0, high=0.9)
    brightness: float = _setting(0.0, "largest random change of brightness: 0.1 is 0.9 to 1.1", low=0)
    contrast: float = _setting(0.0, "largest random change of contrast: 0.1 is 0.9 to 1.1", low=0)
    saturation: float = _setting(0.0, "largest random change of saturation: 0.1 is 0.9 to 1.1", low=0)
    hue: float = _setting(0.0, "largest random change of hue, in turns", low=0, high=0.5)
    normalization: Normalization = _setting("dataset", "mean and deviation of the training images, or 0.5 and 0.5")
    validation_fraction: float = _setting(
        0.0, "share of the training images held out and scored after each epoch", low=0, high=0.9
    )
    test_every: int = _setting(
        0,
        "epochs between scorings of the test images, for the curve alone: do not choose anything by them, or they test "
        "nothing any more; 0 scores them at the end only",
        low=0,
    )
    tensorboard: bool = _setting(False, "write the figures of each epoch for TensorBoard, into the run's folder")
    checkpoint_s: float = _setting(
        120.0, "seconds between checkpoints, rarer where writing one takes more than 1 % of that; 0 for none", low=0
    )
    device: str = _setting("auto", "cpu, cuda, cuda:1, mps, or auto: a GPU where there is one")
    precision: Precision = _setting("auto", "bf16 or fp32; auto takes bf16 where the hardware is faster in it")
    kernels: Kernels = _setting(
        "auto",
        "this library's own kernels, on processors with AVX512-BF16 alone, compiled when first used: auto takes them "
        "where a C++ compiler is there, those for normalisations for the built-in networks alone",
    )
    cuda_graphs: Graphs = _setting(
        "auto",
        "record a step once and replay it, on a GPU alone; auto does so for the built-in networks, since a network of "
        "your own must do the same in every step",
    )
    compile: bool = _setting(
        False, "fuse the network's operations by torch.compile, on a GPU alone: up to a minute before the first step"
    )
    threads: int = _setting(0, "processor threads; 0 takes one per core. Bit-equal results need equal threads", low=0)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            _check_range(item.name, value, item.metadata["low"], item.metadata["high"])
            _check_choice(item.name, value, get_args(item.type))
        if not self.resolutions or not all(0 < share <= 1 for share in self.resolutions):
            raise ConfigError("resolutions", f"{self.resolutions} has shares outside ]0, 1]", "use for example 0.5,1")

    def replace(self, **changes: Any) -> "TrainConfig":
        """Give a copy with some fields changed, checked like a new one."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain values for JSON."""
        return {**dataclasses.asdict(self), "resolutions": list(self.resolutions)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Build a config from a mapping, such as a TOML file or `config.json`; absent fields keep their defaults.

        Raises:
            ConfigError: if a name is unknown (the closest is told) or a value has the wrong type.
        """
        return cls(**{name: parse_setting(name, value) for name, value in values.items()})


def parse_setting(name: str, value: object) -> Any:
    """Check the type of one setting's value as it stands in TOML or JSON, and give it the field's own type.

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
        return tuple(float(share) for share in value)
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
    if not ((low is None or value >= low) and (high is None or value <= high)):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(name, f"{value} is out of range", f"it must be {limits}")
