"""`PathNames`: paths in what a page shows, each shortened to its name, because a page is made to be mailed."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visionlib.runs.training_records import RunConfig

_REST = r"""[^\s'"<>|,;()]*"""
"""What may follow within a path: a space or a quotation mark ends it."""
_ABSOLUTE = re.compile(
    r"""(?:
        [A-Za-z][A-Za-z0-9+.-]+://    # a URL
        | (?<![\w:/.\\])[A-Za-z]:[\\/]  # a drive
        | (?<!\\)\\\\(?=\w)           # a network share
        | [\w.-]+@[\w.-]+:(?=\S)      # a folder of another machine
        | (?<![\w/.~<])~?/(?=[\w.~])  # a root or a home
    )"""
    + _REST,
    re.VERBOSE,
)
_OPTION = re.compile(r"(--?[\w-]+=)(.*)", re.DOTALL)
_PRIVATE_VERSIONS = ("platform",)


class PathNames:
    """Shortens paths to their names.

    A path within a sentence ends at a space, unless it is one of the known ones.

    Args:
        known: paths that sentences may contain, such as the run's.
        with_paths: leave everything as it is.
    """

    def __init__(self, known: Iterable[str | Path | None], *, with_paths: bool = False) -> None:
        self.with_paths = with_paths
        paths = {str(path) for path in known if path is not None and re.search(r"[\\/]", str(path))}
        # Longest first: a folder's path is the beginning of those within it.
        self._known = sorted(paths, key=lambda path: (-len(path), path))

    @classmethod
    def of_run(cls, config: RunConfig, paths: Iterable[str | Path | None], *, with_paths: bool = False) -> "PathNames":
        """Know the paths of a run's `config.json`, and some more, as given and absolute."""
        arguments = [_OPTION.sub(r"\2", argument) for argument in config.command]
        given = [*paths, config.dataset.path, config.dataset.name, *arguments]
        absolute = [Path(path).absolute() for path in paths if path is not None]
        return cls([*given, *absolute, Path.cwd(), Path.home()], with_paths=with_paths)

    def shorten_sentence(self, text: str) -> str:
        """Shorten the known paths, and all other absolute ones."""
        if self.with_paths:
            return text
        for path in self._known:
            text = re.sub(rf"(?<![\w/.\\~]){re.escape(path)}(?![\w-]){_REST}", lambda match: _last_part(match[0]), text)
        return _ABSOLUTE.sub(lambda match: _last_part(match[0]), text)

    def shorten_value(self, text: str) -> str:
        """Shorten a setting or an argument: any path, relative ones too, also after an option's `=`."""
        if self.with_paths:
            return text
        option = _OPTION.fullmatch(text)
        if option:
            return option[1] + self.shorten_value(option[2])
        return _last_part(text) if re.search(r"[\\/]", text) else text

    def shorten_values(self, record: Any) -> Any:
        """Shorten every string of a JSON record."""
        if isinstance(record, str):
            return self.shorten_value(record)
        if isinstance(record, Mapping):
            shortened = {name: self.shorten_value(name) for name in record}
            # A name that becomes another one's stays as it is, and does not take its place.
            names = {name: name if short in record else short for name, short in shortened.items()}
            return {names[name]: self.shorten_values(value) for name, value in record.items()}
        return [self.shorten_values(value) for value in record] if isinstance(record, list | tuple) else record

    def shorten_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Shorten the paths of `config.json`, and leave out the operating system's version."""
        if self.with_paths:
            return dict(config)
        versions = {name: value for name, value in config.get("versions", {}).items() if name not in _PRIVATE_VERSIONS}
        return {**self.shorten_values(config), "versions": versions}


def _last_part(path: str) -> str:
    """Return the name at the end of a path; a home folder, whose name is its owner's, becomes `~`."""
    parts = [part for part in re.split(r"[\\/]+", path) if part not in ("", ".")]
    if not parts:
        return path
    is_home = len(parts) >= 2 and (
        parts[-2].lower() in ("home", "users") or path.rstrip("\\/") == str(Path.home()).rstrip("\\/")
    )
    return "~" if is_home else parts[-1]
