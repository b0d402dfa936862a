"""What a network makes of shortcuts in sentences and cells, the same on a terminal and on a page."""

from collections.abc import Iterator

from visionlib.data.class_names import embed_name
from visionlib.evaluation.shortcuts.wording import LEGEND as ALONE
from visionlib.evaluation.shortcuts.wording import describe_alarms, describe_shortcuts
from visionlib.evaluation.wording import UNKNOWN, p_value, percent, points, points_interval
from visionlib.explanation.quality.estimate import Estimate
from visionlib.explanation.reliance.result import PropertyReliance, Reliance

HEADERS = ("property made equal", "change of accuracy", "p", "accuracy of a class", "maps / area")
LEGEND = (
    "change of accuracy: in points, with the property made the same in all images, and its 95 % interval; p: McNemar's "
    "exact test, adjusted for all properties; class: the one that the property gives away in the training images, or "
    "that loses most; maps / area: fraction of the maps' evidence in the region, in brackets in images of a class that "
    "is given away, and of the pixels"
)


def describe_reliance(result: Reliance) -> str:
    """Describe the measurement and its result in a sentence."""
    of = f"{result.n:,} of {result.n_split:,}" if result.n < result.n_split else f"{result.n:,}"
    relied = [entry.name for entry in result.properties if entry.is_relied_on]
    given_away = [entry.name for entry in result.properties if entry.is_given_away]
    if relied:
        found = f"The network relies on what gives a class away: {', '.join(relied)}"
    elif given_away:
        found = f"No accuracy falls without what gives a class away ({', '.join(given_away)})"
    else:
        found = "No property of the pixels gives a class away"
    return f"{found}; {of} test images, each property made the same in all of them, seed {result.seed}."


def describe_reliances(result: Reliance) -> Iterator[str]:
    """Say in figures what the network loses without each property that gives a class away."""
    for entry in result.properties:
        if entry.is_given_away:
            for change in entry.classes:
                text = f"{embed_name(change.name)}: {percent(change.accuracy)} correct, with its {entry.name} replaced "
                yield f"{text}{percent(change.equal_accuracy)} ({points_interval(change.interval)} points)"


def tell_shortcuts(result: Reliance) -> tuple[str, tuple[str, ...], str]:
    """Return the result in two sentences, a sentence for each finding, and the definitions of both tables."""
    findings = (*describe_alarms(result.shortcuts), *describe_reliances(result))
    return f"{describe_shortcuts(result.shortcuts)} {describe_reliance(result)}", findings, f"{ALONE}; {LEGEND}"


def list_cells(entry: PropertyReliance) -> tuple[str, ...]:
    """Return the cells of a property's row, in the order of `HEADERS`."""
    whole = entry.all_images
    return (
        entry.name,
        f"{points(whole.difference)} ({points_interval(whole.interval)})",
        p_value(whole.p_adjusted, is_cell=True),
        ", ".join(
            f"{embed_name(change.name)} {100 * change.accuracy:.1f} to {percent(change.equal_accuracy)}"
            for change in entry.classes
        ),
        _compare_maps(entry),
    )


def _compare_maps(entry: PropertyReliance) -> str:
    if entry.map_fraction is None:
        return UNKNOWN
    inside = "" if entry.class_map_fraction is None else f" ({_fraction(entry.class_map_fraction)})"
    return f"{_fraction(entry.map_fraction)}{inside} / {percent(entry.area_fraction)}"


def _fraction(estimate: Estimate) -> str:
    return percent(estimate.value)
