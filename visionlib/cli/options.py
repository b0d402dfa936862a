"""Options that several commands share, and how their values are parsed."""

from visionlib.errors import ConfigError


def parse_index(text: str | None) -> tuple[int, ...] | None:
    """Parse a list of stable image ids, as `3,14,15`; None stays None.

    Raises:
        ConfigError: if the text is no such list.
    """
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError("--of", f"{text!r} is no list of indices", "write it like 3,14,15") from None
