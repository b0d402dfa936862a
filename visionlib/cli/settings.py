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


def with_setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per field of `TrainConfig`; the options in use arrive as `**settings`.

    Args:
        command: a function whose last parameter is `**settings`.
    """
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]

    def wrapper(**arguments: Any) -> None:
        given = {p.name: arguments.pop(p.name) for p in own}
        settings = {name: value for name, value in arguments.items() if value is not None}
        if "resolutions" in settings:
            settings["resolutions"] = _parse_fractions(settings["resolutions"])
        command(**given, **settings)

    options = [_option_for(field) for field in dataclasses.fields(TrainConfig)]
    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *options]]
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


def _option_for(field: dataclasses.Field[Any]) -> inspect.Parameter:
    kind: Any = str if isinstance(field.default, tuple) else field.type
    option = typer.Option(
        f"--{field.name.replace('_', '-')}",
        help=_capitalize(field) + ".",
        rich_help_panel="Settings (default: the recipe's)",
        show_default=False,
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
