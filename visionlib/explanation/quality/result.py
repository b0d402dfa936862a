"""`MapQuality`: how far the maps of each method can be believed for one network, ranked, and in words."""

import math
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float32
from torch import Tensor

from visionlib.evaluation.intervals import wilson_interval
from visionlib.explanation.quality.grid_game import CHANCE
from visionlib.explanation.quality.sanity import LARGEST_CORRELATION


@dataclass(frozen=True)
class Figure:
    """A mean over images.

    Attributes:
        value: the mean.
        interval: its 95 % interval; None for fewer than two images.
        n: images.
    """

    value: float
    interval: tuple[float, float] | None
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values for JSON."""
        return {"value": self.value, "interval": None if self.interval is None else list(self.interval), "n": self.n}


def average(values: Float32[Tensor, "n"] | None) -> Figure | None:
    """Average what is a number, with the interval of a normal distribution; None if nothing is."""
    if values is None:
        return None
    known = values[values.isfinite()].double()
    if not len(known):
        return None
    mean = float(known.mean())
    if len(known) < 2:
        return Figure(mean, None, len(known))
    half = 1.959964 * float(known.std()) / math.sqrt(len(known))
    return Figure(mean, (mean - half, mean + half), len(known))


def share(hits: Tensor | None) -> Figure | None:
    """Give the share of hits, with Wilson's interval; None without images."""
    if hits is None or not len(hits):
        return None
    count, n = int(hits.sum()), len(hits)
    return Figure(count / n, wilson_interval(count, n), n)


@dataclass(frozen=True)
class MethodQuality:
    """The figures of one method.

    Attributes:
        method: its name.
        layers: names of its layers.
        resolution: height and width of its maps in cells.
        sanity: Spearman's correlation of maps with those of the network wholly scrambled.
        scrambling: the same by the part that was scrambled last.
        pointing_game: share of maps whose maximum lies on the object.
        energy_in_mask: share of the evidence on the object.
        grid_pointing: share of the evidence in the right one of four images; chance is a quarter.
        deletion: area under the class's probability as the strongest pixels are taken away first; low is good.
        insertion: the same as they are given first; high is good.
        agreement: mean correlation with the maps of each other method.
        constant_fraction: share of maps that are constant.
    """

    method: str
    layers: tuple[str, ...]
    resolution: tuple[int, int]
    sanity: Figure | None
    scrambling: dict[str, float | None]
    pointing_game: Figure | None
    energy_in_mask: Figure | None
    grid_pointing: Figure | None
    deletion: Figure | None
    insertion: Figure | None
    agreement: dict[str, float | None]
    constant_fraction: float

    @property
    def is_passed(self) -> bool | None:
        """Whether the maps depend on what was learned; None if that could not be measured."""
        if self.sanity is None:
            return None
        high = self.sanity.value if self.sanity.interval is None else self.sanity.interval[1]
        return high < LARGEST_CORRELATION

    @property
    def rank_key(self) -> tuple[float, ...]:
        """Order of methods, the best first: sane ones, by where they point, then by what their pixels matter."""
        place = self.pointing_game or self.grid_pointing
        gain = 0.0 if self.insertion is None or self.deletion is None else self.insertion.value - self.deletion.value
        return (0.0 if self.is_passed else 1.0, -(place.value if place else 0.0), -gain)

    @property
    def verdict(self) -> str:
        """What the figures mean, in a sentence."""
        if self.is_passed is None:
            return "could not be checked: its maps are constant."
        assert self.sanity is not None
        if not self.is_passed:
            return (
                f"failed the sanity check: with the network scrambled its maps stay alike "
                f"(correlation {self.sanity.value:.2f}), so they show the image more than the network."
            )
        found = []
        if self.pointing_game is not None:
            found.append(f"points at the object in {self.pointing_game.value:.0%}")
        elif self.grid_pointing is not None:
            word = "little more than chance" if self.grid_pointing.value < CHANCE + 0.1 else "chance is 25 %"
            found.append(
                f"puts {self.grid_pointing.value:.0%} of its evidence on the right one of four images ({word})"
            )
        told = f"; {found[0]}" if found else ""
        return f"depends on what was learned (correlation {self.sanity.value:.2f} when scrambled){told}."

    def to_dict(self, rank: int, mask_share: Figure | None) -> dict[str, Any]:
        """Give everything as plain values for JSON."""
        sanity = self.sanity
        return {
            "method": self.method,
            "layers": list(self.layers),
            "resolution": list(self.resolution),
            "sanity": {
                "correlation": None if sanity is None else sanity.value,
                "interval": None if sanity is None or sanity.interval is None else list(sanity.interval),
                "n": 0 if sanity is None else sanity.n,
                "is_passed": self.is_passed,
                "by_part": self.scrambling,
            },
            **{
                name: None if figure is None else figure.to_dict()
                for name, figure in (
                    ("pointing_game", self.pointing_game),
                    ("energy_in_mask", self.energy_in_mask),
                    ("mask_share", mask_share),
                    ("grid_pointing", self.grid_pointing),
                    ("deletion", self.deletion),
                    ("insertion", self.insertion),
                )
            },
            "agreement": self.agreement,
            "constant_fraction": self.constant_fraction,
            "rank": rank,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class MapQuality:
    """How far maps can be believed for one network.

    Attributes:
        methods: their figures, the best first: those that pass the sanity check, by where they point (the pointing game
            where masks are known, else the grid's), then by insertion less deletion.
        mask_share: mean share of the image that the object covers; None where masks are not known.
        n: images.
        seed: decides which, and the scrambling.
        baseline: what a pixel becomes that is taken away.
    """

    methods: tuple[MethodQuality, ...]
    mask_share: Figure | None
    n: int
    seed: int
    baseline: str

    @property
    def words(self) -> tuple[str, ...]:
        """Which method to use, and which ones failed, in sentences."""
        passed = [one for one in self.methods if one.is_passed]
        failed = [one.method for one in self.methods if one.is_passed is False]
        told = []
        if passed:
            told.append(f"Use {passed[0].method}: it {passed[0].verdict}")
        else:
            told.append("No method passed the sanity check: believe none of these maps for this network.")
        if failed:
            told.append(f"Failed the sanity check: {', '.join(failed)}.")
        return tuple(told)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON."""
        return {
            "n": self.n,
            "seed": self.seed,
            "baseline": self.baseline,
            "methods": [one.to_dict(rank, self.mask_share) for rank, one in enumerate(self.methods, 1)],
            "words": list(self.words),
        }
