"""The fields of `TrainConfig` as command-line options, with the help texts of the fields."""

import dataclasses
import inspect
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from visionlib.errors import ConfigError
from visionlib.training.config import TrainConfig, parse_setting
from visionlib.training.recipes import recipe_config

_COMMON = "Common settings (default: the recipe's)"
PANELS: Mapping[str, tuple[str, ...]] = {
    _COMMON: (
        "model", "epochs", "batch_size", "peak_learning_rate", "seed", "balance", "freeze", "validation_fraction",
        "device", "precision",
    ),
    "Optimizer and learning rate": (
        "optimizer", "momentum", "weight_decay", "muon_learning_rate", "muon_momentum", "schedule", "warmup_fraction",
        "cycles", "body_rate_factor", "norm_bias_factor", "averaging", "averaging_decay", "sam_radius", "sam_start",
        "sam_fraction",
    ),
    "Images": (
        "resolutions", "normalization", "whiten", "label_smoothing", "flip", "crop_px", "cutout_px", "erase_fraction",
        "erase_area", "rotate_degrees", "translate_fraction", "scale_fraction", "brightness", "contrast", "saturation",
        "hue", "policy", "policy_strength", "mix", "mix_alpha", "mix_fraction", "mix_end",
    ),
    "Machine and files": (
        "threads", "parts", "stream_shards", "kernels", "cuda_graphs", "compile", "checkpoint_s", "test_every",
        "tensorboard",
    ),
}  # fmt: skip
"""The settings by the panel of the help in which they stand; `--help` shows the common ones, `--help-all` all."""


def with_setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per field of `TrainConfig`; the options in use arrive as `**settings`.

    Args:
        command: a function whose last parameter is `**settings`.
    """
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]

    def wrapper(**arguments: Any) -> None:
        given = {p.name: arguments.pop(p.name) for p in own}
        settings = {name: value for name, value in arguments.items() if value is not None and name in fields}
        if "resolutions" in settings:
            settings["resolutions"] = _parse_fractions(settings["resolutions"])
        command(**given, **settings)

    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    options = [_option_for(fields[name], panel) for panel, names in PANELS.items() for name in names]
    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *options, _HELP_ALL]]
    wrapper.__signature__ = signature.replace(parameters=keyword_only)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in keyword_only}
    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    return wrapper


def resolve_config(recipe: str, config_file: Path | None, settings: Mapping[str, Any]) -> TrainConfig | dict[str, Any]:
    """Merge settings: those of a TOML file override the recipe's, and those of the command line override both.

    Returns:
        Every setting; with the recipe `auto` the given ones alone, to which `train` chooses the others.

    Raises:
        ConfigError: if the file cannot be read, or a setting is unknown, of the wrong type or out of range.
    """
    from_file = {} if config_file is None else _read_toml(config_file)
    name = str(from_file.pop("recipe", recipe))
    given = {**from_file, **settings}
    if name != "auto":
        return recipe_config(name, **given)
    TrainConfig(**given)  # refuses values out of range before the data is loaded
    return given


def _show_all(context: Any, is_wanted: bool) -> None:
    if is_wanted:
        for option in context.command.params:
            option.hidden = False
        typer.echo(context.get_help())
        raise typer.Exit


_show_all.__annotations__["context"] = typer.Context  # asks for it; what comes is its base class

_HELP_ALL = inspect.Parameter(
    "help_all",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option(
            "--help-all",
            help="Show all settings, not the common ones alone, and exit.",
            callback=_show_all,
            is_eager=True,
        ),
    ],
)


def _option_for(field: dataclasses.Field[Any], panel: str) -> inspect.Parameter:
    kind: Any = str if isinstance(field.default, tuple) else field.type
    option = typer.Option(
        f"--{field.name.replace('_', '-')}",
        help=_capitalize(field) + ".",
        rich_help_panel=panel,
        show_default=False,
        hidden=panel != _COMMON,
    )
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _capitalize(field: dataclasses.Field[Any]) -> str:
    """The help text of a field with a capital first letter, except where it begins with a value to type."""
    text: str = field.metadata["help"]
    values = ("cpu", *(value for value in get_args(field.type) if isinstance(value, str)))
    return text if text.startswith(values) else text[0].upper() + text[1:]


def _parse_fractions(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError("--resolutions", f"{text!r} is no list of numbers", "write it like 0.5,0.75,1") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for a writer
            raise ConfigError(path, "is no file", "name a TOML file with --config")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(path, f"cannot be read ({error.strerror})", "name a TOML file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(path, f"is no TOML ({error})", "fix it, or leave --config out") from error
    return {name: value if name == "recipe" else parse_setting(name, value) for name, value in content.items()}
