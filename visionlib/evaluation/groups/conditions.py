"""`Conditions`: the statements that groups are made of, such as "dark", and which images each one is true of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.evaluation.groups.properties import Category, Property, Quantity
from visionlib.runs.fields import Unit

CLASS, CLUSTER = "class", "cluster"
LEVELS = (0.1, 0.2, 1 / 3)
"""Fractions of the images that are called dark, and so on."""
_MOST_COMMON = 0.5
"""A condition that is true of a larger fraction says nothing: values with many equal ones have such."""
_DISTINCT_STDS = 0.5
"""Difference of means, in stds over all images, from which a cluster is described by a property."""
_MOST_WORDS = 3


@dataclass(frozen=True)
class Condition:
    """A statement about one property of an image.

    Attributes:
        name: of the property; `class` for the label, `cluster` for one in the embedding.
        words: for the images that it is true of, as `dark`.
        relation: of the image's value to `value`.
        value: a threshold, or a name.
        fraction: of the proposing half that it is true of.
    """

    name: str
    words: str
    relation: Literal["at most", "at least", "is"]
    value: float | str
    fraction: Unit

    @property
    def definition(self) -> str:
        """The exact statement, as `brightness at most 0.214`."""
        value = f"{self.value:.3g}" if isinstance(self.value, float) else embed_name(self.value)
        return f"{embed_name(self.name)} {self.relation} {value}"


@dataclass(frozen=True, eq=False)
class Conditions:
    """All conditions of a split.

    Attributes:
        conditions: a list of them.
        members: of which images each is true.
    """

    conditions: tuple[Condition, ...]
    members: Bool[Tensor, "n a"]


def list_conditions(
    properties: Sequence[Property],
    labels: Int64[Tensor, "n"],
    classes: tuple[str, ...],
    clusters: Int64[Tensor, "n"] | None,
    is_proposing: Bool[Tensor, "n"],
    *,
    least: int,
) -> Conditions:
    """List the conditions; thresholds are quantiles of the proposing half.

    Args:
        properties: of every image.
        labels: positions in `classes`.
        classes: class names.
        clusters: of every image, or None.
        is_proposing: which images thresholds are taken from.
        least: smallest number of proposing images that a condition must be true of.
    """
    found: list[tuple[Condition, Tensor]] = []

    def add(condition: Condition, members: Bool[Tensor, "n"]) -> None:
        if condition.fraction <= _MOST_COMMON and int((members & is_proposing).sum()) >= least:
            found.append((condition, members))

    for entry in properties:
        for condition, members in _split_up(entry, is_proposing):
            add(condition, members)
    for position, name in enumerate(classes):
        members = labels == position
        condition = Condition(CLASS, embed_name(name), "is", name, _fraction(members, is_proposing))
        if int((members & is_proposing).sum()) >= least:
            found.append((condition, members))
    if clusters is not None:
        for number in torch.unique(clusters).tolist():
            members = clusters == number
            words = f"alike to the network ({_describe_cluster(properties, members)})"
            add(Condition(CLUSTER, words, "is", str(number), _fraction(members, is_proposing)), members)
    if not found:
        return Conditions((), torch.zeros(len(labels), 0, dtype=torch.bool))
    return Conditions(tuple(condition for condition, _ in found), torch.stack([members for _, members in found], 1))


def _split_up(entry: Property, is_proposing: Bool[Tensor, "n"]) -> Iterator[tuple[Condition, Bool[Tensor, "n"]]]:
    if isinstance(entry, Category):
        for position, name in enumerate(entry.names):
            members = entry.values == position
            words = entry.wording.format(embed_name(name))
            yield Condition(entry.name, words, "is", name, _fraction(members, is_proposing)), members
        return
    known = entry.values[is_proposing & entry.values.isfinite()]
    if not len(known):
        return
    seen: set[tuple[str, int]] = set()
    for level in LEVELS:
        for word, relation, threshold in (
            (entry.low, "at most", _quantile(known, level)),
            (entry.high, "at least", -_quantile(-known, level)),
        ):
            members = entry.values <= threshold if relation == "at most" else entry.values >= threshold
            key = (relation, int(members.sum()))
            if word and key not in seen:
                seen.add(key)
                fraction = _fraction(members, is_proposing)
                yield Condition(entry.name, word, relation, threshold, fraction), members  # type: ignore[arg-type]


def _quantile(known: Float64[Tensor, "m"], level: float) -> float:
    """Return a value that occurs, at least a fraction `level` of the others at or below it."""
    # torch.quantile has a limit of 16 million values, and interpolates.
    return float(known.kthvalue(max(1, min(len(known), round(level * len(known))))).values)


def _fraction(members: Bool[Tensor, "n"], is_proposing: Bool[Tensor, "n"]) -> float:
    return float((members & is_proposing).sum() / is_proposing.sum().clamp(min=1))


def _describe_cluster(properties: Sequence[Property], members: Bool[Tensor, "n"]) -> str:
    """Describe a cluster by the properties that it differs in most from the mean of all images."""
    distances: list[tuple[float, str]] = []
    for entry in properties:
        if isinstance(entry, Quantity):
            known = entry.values.isfinite()
            std = float(entry.values[known].std(correction=0)) if bool(known.any()) else 0.0
            if std and bool((members & known).any()):
                distance = float(entry.values[members & known].mean() - entry.values[known].mean()) / std
                if abs(distance) >= _DISTINCT_STDS and (word := entry.high if distance > 0 else entry.low):
                    distances.append((abs(distance), word))
    words = [word for _, word in sorted(distances, reverse=True)[:_MOST_WORDS]]
    return ", ".join(words) or "of no measured property"
