"""Class names as they can be shown: on one line, with nothing that moves a cursor or turns the writing round."""

import unicodedata

_STAND_IN = "\N{REPLACEMENT CHARACTER}"
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that reorder the letters around them, beyond the name that they stand in."""
_LEFT_TO_RIGHT = "\N{LEFT-TO-RIGHT MARK}"
_UNSHOWN = frozenset({"Cc", "Cs", "Co", "Cn"})


def tidy_name(name: str) -> str:
    """Give a name fit for a table or a picture: spaces for line breaks, a stand-in for what cannot be shown.

    Args:
        name: as the dataset has it; files and JSON keep it that way.
    """
    line = " ".join(name.split())
    return "".join(_STAND_IN if c in _TURNING or unicodedata.category(c) in _UNSHOWN else c for c in line)


def embed_name(name: str, longest: int = 40) -> str:
    """Give a name fit to stand within a sentence: tidy, without the middle of a long one, and in its own direction.

    Beside a name that is written from right to left, marks that cannot be seen keep figures and the rest of the line
    where they belong.

    Args:
        name: of a class or a run.
        longest: letters to keep at most, 2 or more.
    """
    tidy = tidy_name(name) or "(no name)"
    if len(tidy) > longest:
        tidy = f"{tidy[: longest // 2]}\N{HORIZONTAL ELLIPSIS}{tidy[len(tidy) - (longest - 1) // 2 :]}"
    is_turned = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in tidy)
    return _LEFT_TO_RIGHT + tidy + _LEFT_TO_RIGHT if is_turned else tidy
