"""`MapQuality`: measures of the reliability of each method's maps for one network, ranked, with a verdict each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visionlib.explanation.quality.estimate import Estimate
from visionlib.explanation.quality.grid_game import CHANCE
from visionlib.explanation.quality.sanity import LARGEST_CORRELATION
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.results import load_result, save_result

_ESTIMATES = (
    "pointing_game",
    "energy_in_mask",
    "grid_pointing",
    "deletion",
    "insertion",
    "sensitivity",
    "sparseness",
    "complexity",
    "completeness_gap",
)


@dataclass(frozen=True)
class MethodQuality:
    """The measures of one method.

    Attributes:
        method: its name.
        layers: names of its layers.
        resolution: height and width of its maps, in cells.
        sanity: Spearman's correlation with the maps of the network with all weights randomized.
        sanity_by_part: mean of that correlation, by the part that was randomized last.
        pointing_game: fraction of maps whose maximum lies on the object.
        energy_in_mask: fraction of the evidence on the object.
        grid_pointing: fraction of the evidence on the right one of four images; chance is a quarter.
        deletion: area under the probability of the class as pixels are deleted, those with most evidence first; low is
            good.
        insertion: likewise as they are inserted; high is good.
        agreement: mean correlation with the maps of each other method.
        constant_fraction: fraction of maps that are constant.
        sensitivity: largest relative change of a map under small noise in the image; low is good.
        sparseness: Gini index of a map: 0 for equal cells, near 1 for evidence in one cell.
        complexity: entropy of a map's evidence, in nats.
        completeness_gap: relative difference of the sum of the attributions from that of the logits; of integrated
            gradients alone.
    """

    method: str
    layers: tuple[str, ...]
    resolution: tuple[int, int]
    sanity: Estimate | None
    sanity_by_part: dict[str, float | None]
    pointing_game: Estimate | None
    energy_in_mask: Estimate | None
    grid_pointing: Estimate | None
    deletion: Estimate | None
    insertion: Estimate | None
    agreement: dict[str, float | None]
    constant_fraction: float
    sensitivity: Estimate | None = None
    sparseness: Estimate | None = None
    complexity: Estimate | None = None
    completeness_gap: Estimate | None = None

    @property
    def is_passed(self) -> bool | None:
        """Whether the maps depend on the learned weights; None if it could not be measured."""
        if self.sanity is None:
            return None
        high = self.sanity.value if self.sanity.interval is None else self.sanity.interval[1]
        return high < LARGEST_CORRELATION

    @property
    def rank_key(self) -> tuple[float, ...]:
        """Sort key, the best first: the sanity check, then localization, then insertion minus deletion."""
        localization = self.pointing_game or self.grid_pointing
        gain = 0.0 if self.insertion is None or self.deletion is None else self.insertion.value - self.deletion.value
        return (0.0 if self.is_passed else 1.0, -(localization.value if localization else 0.0), -gain)

    @property
    def verdict(self) -> str:
        """The conclusion, in a sentence."""
        if self.is_passed is None:
            return "could not be checked: its maps are constant."
        assert self.sanity is not None
        if not self.is_passed:
            return (
                f"failed the sanity check: with randomized weights its maps stay similar "
                f"(correlation {self.sanity.value:.2f}), so they show the image more than the network."
            )
        localization = ""
        if self.pointing_game is not None:
            localization = f"; points at the object in {self.pointing_game.value:.0%}"
        elif self.grid_pointing is not None:
            chance = "little more than chance" if self.grid_pointing.value < CHANCE + 0.1 else "chance is 25 %"
            right = f"{self.grid_pointing.value:.0%} of its evidence on the right one of four images"
            localization = f"; puts {right} ({chance})"
        correlation = f"correlation {self.sanity.value:.2f} with randomized weights"
        return f"depends on the learned weights ({correlation}){localization}."

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "MethodQuality":
        """Build the result from its `to_dict`."""
        sanity = record["sanity"]
        return cls(
            method=str(record["method"]),
            layers=tuple(map(str, record["layers"])),
            resolution=(int(record["resolution"][0]), int(record["resolution"][1])),
            sanity=Estimate.from_dict({**sanity, "value": sanity["correlation"]}),
            sanity_by_part=dict(sanity["by_part"]),
            agreement=dict(record["agreement"]),
            constant_fraction=float(record["constant_fraction"]),
            **{name: Estimate.from_dict(record.get(name)) for name in _ESTIMATES},
        )

    def to_dict(self, rank: int, mask_fraction: Estimate | None) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
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
                "by_part": self.sanity_by_part,
            },
            **{
                name: None if estimate is None else estimate.to_dict()
                for name, estimate in (
                    ("pointing_game", self.pointing_game),
                    ("energy_in_mask", self.energy_in_mask),
                    ("mask_share", mask_fraction),
                    ("grid_pointing", self.grid_pointing),
                    ("deletion", self.deletion),
                    ("insertion", self.insertion),
                    ("sensitivity", self.sensitivity),
                    ("sparseness", self.sparseness),
                    ("complexity", self.complexity),
                    ("completeness_gap", self.completeness_gap),
                )
            },
            "agreement": self.agreement,
            "constant_fraction": self.constant_fraction,
            "rank": rank,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class MapQuality:
    """Measures of the reliability of maps for one network.

    Attributes:
        methods: the best first: those that pass the sanity check, by the pointing game, or by the grid where there are
            no masks, then by insertion minus deletion.
        mask_fraction: mean fraction of the image that the object covers; None without masks.
        n: number of images.
        seed: of the images and of the randomized weights.
        baseline: the value of a deleted pixel.
        content_hash: of the split that the images are from.
    """

    methods: tuple[MethodQuality, ...]
    mask_fraction: Estimate | None
    n: int
    seed: int
    baseline: str
    content_hash: str = ""

    @property
    def conclusions(self) -> tuple[str, ...]:
        """The method to use, and the methods that failed, in sentences."""
        passed = [one for one in self.methods if one.is_passed]
        failed = [one.method for one in self.methods if one.is_passed is False]
        best = (
            f"Use {passed[0].method}: it {passed[0].verdict}"
            if passed
            else "No method passed the sanity check: believe none of these maps for this network."
        )
        return (best, f"Failed the sanity check: {', '.join(failed)}.") if failed else (best,)

    def save(self, run: Run) -> None:
        """Write `explanations/quality.json`, of the run's test images.

        Raises:
            RunError: if the run is damaged, or the folder cannot be written.
        """
        hashes = {"weights_sha256": load_record(run).weights_sha256, "content_hash": self.content_hash}
        save_result(run.explanations / "quality.json", {**hashes, "split": "test", **self.to_dict()})

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "MapQuality":
        """Build the result from its record in a run."""
        return cls(
            methods=tuple(map(MethodQuality.from_dict, record["methods"])),
            mask_fraction=Estimate.from_dict(record["methods"][0]["mask_share"]) if record["methods"] else None,
            n=int(record["n"]),
            seed=int(record["seed"]),
            baseline=str(record["baseline"]),
            content_hash=str(record.get("content_hash", "")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "n": self.n,
            "seed": self.seed,
            "baseline": self.baseline,
            "methods": [one.to_dict(rank, self.mask_fraction) for rank, one in enumerate(self.methods, 1)],
            "words": list(self.conclusions),
        }


def load_quality(run: Run) -> MapQuality:
    """Read `explanations/quality.json`.

    Raises:
        RunError: if it is absent or damaged, or of other weights than the run's.
    """
    return load_result(
        run.explanations / "quality.json",
        {"weights_sha256": load_record(run).weights_sha256},
        lambda record, arrays: MapQuality.from_dict(record),
        remedy="visionlib explain RUN --quality",
        has_arrays=False,
    )
