"""A `StressResult` as the cells of its tables, the same on a terminal and in a notebook."""

from collections.abc import Iterator
from html import escape
from itertools import groupby

from visionlib.data.class_names import tidy_name
from visionlib.data.corruption import STRENGTHS
from visionlib.drawing.html_table import render_table
from visionlib.evaluation.stress.result import MADE_HERE, StressResult
from visionlib.evaluation.stress.scores import ConditionScore
from visionlib.evaluation.wording import interval, number, percent, points

CONDITION_HEADERS = ("corruption", *map(str, STRENGTHS), "mean")
STRENGTH_HEADERS = ("strength", "0", *map(str, STRENGTHS))
_SHOWN = (1, 3, 5)
"""Strengths of the classes' table, which is to fit 80 columns."""
CLASS_HEADERS = ("class", "n", "0", *map(str, _SHOWN), "drop", "95 % interval", "worst corruption")


def condition_rows(result: StressResult) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yield each kind of corruption with its rows, whose cells belong below `CONDITION_HEADERS`."""
    for kind, scores in groupby(result.conditions, key=lambda score: score.kind):
        by_name = groupby(scores, key=lambda score: score.corruption)
        yield kind, [_row(name, list(group)) for name, group in by_name]


def _row(name: str, scores: list[ConditionScore]) -> tuple[str, ...]:
    accuracies = [score.accuracy for score in scores]
    cells = [number(100 * value, 1) for value in (*accuracies, sum(accuracies) / len(accuracies))]
    return (name.replace("_", " "), *cells)


def mean_row(result: StressResult) -> tuple[str, ...]:
    """Return the means over the averaged corruptions, below `CONDITION_HEADERS`."""
    means = [score.accuracy for score in result.by_strength[1:]]
    name = f"mean of the {len(result.averaged)}"
    return (name, *(number(100 * value, 1) for value in (*means, result.mean_accuracy)))


def strength_rows(result: StressResult) -> list[tuple[str, ...]]:
    """Return accuracy, confidence and calibration by strength, below `STRENGTH_HEADERS`."""
    scores = result.by_strength
    return [
        ("accuracy, %", *(number(100 * score.accuracy, 1) for score in scores)),
        ("mean confidence, %", *(number(100 * score.mean_confidence, 1) for score in scores)),
        ("confidence minus accuracy", *(points(score.gap) for score in scores)),
        ("calibration error", *(number(score.ece, 3) for score in scores)),
    ]


def class_rows(result: StressResult) -> list[tuple[str, ...]]:
    """Return the accuracy of each class at some strengths, the largest fall first, below `CLASS_HEADERS`."""
    return [
        (
            tidy_name(fall.name),
            f"{fall.n:,}",
            *(number(100 * value, 1) for value in (fall.clean_accuracy, *(fall.accuracies[at - 1] for at in _SHOWN))),
            number(100 * fall.drop, 1),
            " to ".join(number(100 * bound, 1) for bound in fall.drop_interval),
            f"{fall.worst_corruption.replace('_', ' ')} {percent(fall.worst_accuracy, 0)}",
        )
        for fall in result.per_class
    ]


def describe_means(result: StressResult) -> str:
    """State the accuracy without corruption and the mean under it, with intervals."""
    clean = result.clean
    name = "mean corruption accuracy" if result.is_complete else "mean accuracy under corruption"
    return (
        f"accuracy without corruption {percent(clean.accuracy, 2)} ({interval(clean.confidence_interval)}); "
        f"{name} {percent(result.mean_accuracy, 2)} ({interval(result.mean_interval)})"
    )


def legend(result: StressResult) -> str:
    """Explain the tables."""
    bounds = [score.confidence_interval or (0.0, 1.0) for score in result.conditions]
    widest = max(high - low for low, high in bounds)
    chosen = "all" if result.n == result.n_split else f"chosen by seed {result.seed} of {result.n_split:,}"
    lines = [
        f"accuracy in % of {result.n:,} test images, {chosen}, by strength of the corruption; 0 is without",
        f"the 95 % interval of a cell is at most {100 * widest:.1f} points wide; --json has each",
    ]
    if result.source != MADE_HERE:
        lines.append(f"corrupted images: {result.source}")
    if len(result.averaged) < len(result.corruptions):
        lines.append(
            f"means and classes are of the {len(result.averaged)} standard corruptions, without the extra ones"
        )
    return "; ".join(lines)


def to_html(result: StressResult) -> str:
    """Render a result as one `<div>` for notebooks."""
    rows = [row for _, group in condition_rows(result) for row in group]
    parts = (
        '<div style="overflow-x: auto; color: inherit;">',
        f"<p>{escape(describe_means(result))}</p>",
        render_table(CONDITION_HEADERS, rows, bold_rows=[mean_row(result)]),
        render_table(STRENGTH_HEADERS, strength_rows(result)),
        render_table(CLASS_HEADERS, class_rows(result)),
        f'<p style="opacity: 0.75;">{escape(legend(result))}</p>',
        "</div>",
    )
    return "\n".join(parts)
