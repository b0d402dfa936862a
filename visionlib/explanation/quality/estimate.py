"""`Estimate`: a mean or a fraction over images, with its interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float32
from torch import Tensor

from visionlib.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class Estimate:
    """A mean over images.

    Attributes:
        value: the mean.
        interval: 95 % interval; None for fewer than two images.
        n: number of images.
    """

    value: float
    interval: tuple[float, float] | None
    n: int

    @classmethod
    def from_dict(cls, record: Mapping[str, Any] | None) -> "Estimate | None":
        """Build the estimate from its `to_dict`; None for None, and for a value of None."""
        if record is None or record["value"] is None:
            return None
        interval = record["interval"]
        return cls(float(record["value"]), None if interval is None else (interval[0], interval[1]), int(record["n"]))

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {"value": self.value, "interval": None if self.interval is None else list(self.interval), "n": self.n}


def average(values: Float32[Tensor, "n"] | None) -> Estimate | None:
    """Average the finite values, with the interval of a normal distribution; None if there are none."""
    if values is None:
        return None
    known = values[values.isfinite()].double()
    if not len(known):
        return None
    mean = float(known.mean())
    if len(known) < 2:
        return Estimate(mean, None, len(known))
    half = 1.959964 * float(known.std()) / math.sqrt(len(known))
    return Estimate(mean, (mean - half, mean + half), len(known))


def fraction(hits: Tensor | None) -> Estimate | None:
    """Return the fraction of hits, with Wilson's interval; None without images."""
    if hits is None or not len(hits):
        return None
    count, n = int(hits.sum()), len(hits)
    return Estimate(count / n, wilson_interval(count, n), n)
