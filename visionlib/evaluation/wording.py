"""Numbers as text, the same on a terminal, in a notebook, in a picture and on a page."""

from visionlib.evaluation.intervals import Interval

UNKNOWN = "n/a"
_SMALLEST_P = 1e-16


def percent(fraction: float | None, digits: int = 1) -> str:
    """Write a fraction as `95.2 %`."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.{digits}f} %"


def interval(interval: Interval | None, digits: int = 1) -> str:
    """Write an interval of fractions as `95.2 % to 96.9 %`."""
    return UNKNOWN if interval is None else " to ".join(percent(limit, digits) for limit in interval)


def percent_with_interval(fraction: float | None, interval: Interval | None) -> str:
    """Write a fraction and its interval in one cell, as `96.03 % (95.2 to 96.9)`."""
    bounds = "" if interval is None else f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
    return percent(fraction, 2) + bounds


def points(difference: float | None) -> str:
    """Write a difference of fractions in percentage points, as `+1.43`."""
    return UNKNOWN if difference is None else f"{100 * difference:+.2f}"


def points_interval(interval: Interval | None) -> str:
    """Write an interval of differences in percentage points, as `-0.20 to +1.43`."""
    return UNKNOWN if interval is None else f"{points(interval[0])} to {points(interval[1])}"


def number(value: float | None, digits: int) -> str:
    """Write a number with this many digits after the point."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def count(value: float | None) -> str:
    """Write a number as `10,000`; epochs may have a fraction."""
    return UNKNOWN if value is None else f"{value:,}"


def p_value(p: float, *, is_cell: bool = False) -> str:
    """Write a p-value with two digits, as `= 0.039` or `below 1e-16` in a sentence, `0.039` or `<1e-16` in a cell."""
    if p < _SMALLEST_P:
        return f"<{_SMALLEST_P}" if is_cell else f"below {_SMALLEST_P}"
    return f"{p:.2g}" if is_cell else f"= {p:.2g}"
