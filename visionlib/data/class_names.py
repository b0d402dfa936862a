"""Names of classes and files for display: on one line, without control characters and marks that reorder text."""

import unicodedata

_STAND_IN = "\N{REPLACEMENT CHARACTER}"
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that reorder the text around them, beyond their own name."""
_LEFT_TO_RIGHT = "\N{LEFT-TO-RIGHT MARK}"
_UNPRINTABLE = frozenset({"Cc", "Cs", "Co", "Cn"})
CAPTION_PATH_LENGTH = 20
"""Characters of a path that fit below an image of a picture."""
_LINE_BREAKS = frozenset({"Zl", "Zp"})


def tidy_name(name: str) -> str:
    """Return a name for a table or a picture: spaces for line breaks, a stand-in for unprintable characters.

    Args:
        name: as the dataset has it; files and JSON keep it that way.
    """
    line = " ".join(name.split())
    return "".join(_STAND_IN if c in _REORDERING or unicodedata.category(c) in _UNPRINTABLE else c for c in line)


def embed_name(name: str, longest: int = 40) -> str:
    """Return a name for use within a sentence: tidy, a long one without its middle.

    Invisible marks around a name that is written from right to left keep the rest of the line in order.

    Args:
        name: of a class or a run.
        longest: most characters, 2 or more.
    """
    tidy = tidy_name(name) or "(no name)"
    if len(tidy) > longest:
        tidy = f"{tidy[: longest // 2]}\N{HORIZONTAL ELLIPSIS}{tidy[len(tidy) - (longest - 1) // 2 :]}"
    return _keep_direction(tidy)


def tidy_path(path: str, longest: int = 120) -> str:
    r"""Return a path for a table or a picture: spaces stay, unprintable characters and line breaks become escapes.

    A byte that is not UTF-8 is shown as `\xe9`. A long path has no middle, and a very short one only its end: the
    file's name tells most.

    Args:
        path: of a file, or its row, as `Sources` names it.
        longest: most characters, 2 or more.
    """
    tidy = escape_path(path)
    if len(tidy) > longest:
        head = longest // 3 if longest >= 30 else 0
        tidy = f"{tidy[:head]}\N{HORIZONTAL ELLIPSIS}{tidy[len(tidy) - (longest - 1 - head) :]}"
    return _keep_direction(tidy)


def escape_path(path: str) -> str:
    """Return a path on one line, with escapes for unprintable characters and marks that reorder text."""
    return "".join(map(_escape_unprintable, path))


def _escape_unprintable(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    category = unicodedata.category(character)
    if character in _REORDERING or category in _UNPRINTABLE or category in _LINE_BREAKS:
        return character.encode("unicode_escape").decode("ascii")
    return character


def _keep_direction(tidy: str) -> str:
    is_right_to_left = any(unicodedata.bidirectional(character) in ("R", "AL") for character in tidy)
    return _LEFT_TO_RIGHT + tidy + _LEFT_TO_RIGHT if is_right_to_left else tidy
