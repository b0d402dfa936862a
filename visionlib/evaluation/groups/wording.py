"""Weak groups in sentences, the same on a terminal, in a picture and on a page."""

from visionlib.data.class_names import embed_name
from visionlib.evaluation.groups.weak_groups import Group, WeakGroups
from visionlib.evaluation.wording import interval, p_value, percent


def describe_groups(groups: WeakGroups) -> str:
    """Describe the search and its result in a sentence, as a title and a text alternative."""
    tested = f"{len(groups.tested):,} were proposed by one half of the images and tested on the other"
    if not groups.groups:
        return f"No weak group among {groups.n:,} images; {tested}."
    return f"Weak groups among {groups.n:,} images: {len(groups.groups):,}; {tested}."


def describe_figures(group: Group) -> str:
    """Give a group's accuracy, that of the others of its classes, and the p-value, in a line."""
    return (
        f"{percent(group.accuracy)} correct ({interval(group.confidence_interval)}, n = {group.n:,}), others of the "
        f"same classes {percent(group.expected_accuracy)}; adjusted p {p_value(group.p_adjusted)}"
    )


def describe_mistakes(group: Group) -> str:
    """Say what the wrong images of a group are mostly predicted as."""
    if group.taken_for is None:
        return ""
    return f"{group.taken_for_n:,} of {group.wrong:,} wrong ones said to be {embed_name(group.taken_for)}"
