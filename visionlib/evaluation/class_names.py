"""Class names as they can be shown: on one line, with nothing that moves a cursor or turns the writing round."""

import unicodedata

_STAND_IN = "\N{REPLACEMENT CHARACTER}"
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that reorder the letters around them, beyond the name that they stand in."""
_UNSHOWN = frozenset({"Cc", "Cs", "Co", "Cn"})


def tidy_name(name: str) -> str:
    """Give a name fit for a table or a picture: spaces for line breaks, a stand-in for what cannot be shown.

    Args:
        name: as the dataset has it; files and JSON keep it that way.
    """
    line = " ".join(name.split())
    return "".join(_STAND_IN if c in _TURNING or unicodedata.category(c) in _UNSHOWN else c for c in line)
