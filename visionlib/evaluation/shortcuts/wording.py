"""Shortcuts in sentences and cells, the same on a terminal, in a notebook and on a page."""

from collections.abc import Iterator

from visionlib.data.class_names import embed_name
from visionlib.evaluation.shortcuts.result import LEAST_RATIO, LEAST_RECALL, ClassSign, PropertyScore, Shortcuts
from visionlib.evaluation.wording import p_value, percent, points, points_interval

HEADERS = ("property alone", "correct", "above largest class", "p", "gives away")
LEGEND = (
    "correct: of decision trees that see this property alone, on images that they were not grown on; above largest "
    "class: in points, with a 95 % interval; p: sign test, adjusted for all properties; gives away: classes whose "
    f"images it flags more than {LEAST_RATIO} times as often as others, at least {100 * LEAST_RECALL:.0f} % of them"
)


def describe_shortcuts(result: Shortcuts) -> str:
    """Describe the measurement and its result in a sentence."""
    of = f"{result.n:,} images" if result.n == result.n_split else f"{result.n:,} of {result.n_split:,} images"
    tested = f"{len(result.scores)} properties of {of}, {result.folds} folds"
    largest = f"the largest class alone is right on {percent(result.majority_correct / result.n)}"
    found = "Alarm: a property gives a class away" if result.is_alarm else "No property gives a class away"
    return f"{found}; {tested}; {largest}."


def describe_alarms(result: Shortcuts) -> Iterator[str]:
    """Say for each class with an alarm which properties give it away, the clearest in figures."""
    for row in result.list_alarms().values():
        (name, sign), *others = row
        also = f"; so do: {', '.join(name for name, _ in others)}" if others else ""
        yield f"{embed_name(sign.name)} is given away by its {name}: {describe_sign(sign)}{also}"


def describe_sign(sign: ClassSign) -> str:
    """Give the fractions of the class and of the others that are flagged."""
    return f"{percent(sign.recall)} of its images, {percent(sign.false_hits / sign.others, 2)} of others"


def list_cells(score: PropertyScore) -> tuple[str, ...]:
    """Return the cells of a property's row, in the order of `HEADERS`."""
    return (
        score.name,
        percent(score.accuracy),
        f"{points(score.difference)} ({points_interval(score.difference_interval)})",
        p_value(score.p_adjusted, is_cell=True),
        ", ".join(embed_name(sign.name) for sign in score.alarms),
    )
