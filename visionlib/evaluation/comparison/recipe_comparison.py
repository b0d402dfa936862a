"""`RecipeComparison`: two recipes over seeds on the same test images, and the difference of their mean accuracies."""

import statistics
from dataclasses import dataclass
from typing import Any

from visionlib.data.class_names import embed_name
from visionlib.evaluation.comparison.crossed import POWER, CrossedDifference
from visionlib.evaluation.intervals import CONFIDENCE
from visionlib.evaluation.wording import percent
from visionlib.inference.predictions import LogitsKind


@dataclass(frozen=True)
class RecipeRuns:
    """The runs of one recipe.

    Attributes:
        runs: names, see `RunMetrics.name`.
        paths: of their folders.
        seeds: of their trainings; None where a run does not record it.
        accuracies: on the test images.
    """

    runs: tuple[str, ...]
    paths: tuple[str, ...]
    seeds: tuple[int | None, ...]
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return statistics.fmean(self.accuracies)

    @property
    def std(self) -> float:
        """Standard deviation of the accuracy between runs, with n - 1."""
        return statistics.stdev(self.accuracies)

    @property
    def name(self) -> str:
        """The first run and the number of the others."""
        first, others = embed_name(self.runs[0]), len(self.runs) - 1
        return f"{first} and {others} more" if others > 1 else f"{first} and {embed_name(self.runs[1])}"

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "runs": list(self.runs),
            "paths": list(self.paths),
            "seeds": list(self.seeds),
            "accuracies": list(self.accuracies),
            "mean": self.mean,
            "std": self.std,
        }


@dataclass(frozen=True)
class RecipeComparison:
    """Two recipes on the same test images.

    Attributes:
        recipe: the runs named first.
        against: the runs that they are compared with.
        crossed: the difference, mean accuracy of `recipe` minus that of `against`, and its variance.
        content_hash: of the test images.
        logits: `plain`, or `mirror-averaged` with the logits of the mirror images.
        notes: on the interpretation, a sentence each.
    """

    recipe: RecipeRuns
    against: RecipeRuns
    crossed: CrossedDifference
    content_hash: str
    logits: LogitsKind
    notes: tuple[str, ...]

    def describe(self) -> str:
        """Describe the difference in sentences."""
        crossed = self.crossed
        better, worse = (self.recipe, self.against) if crossed.difference > 0 else (self.against, self.recipe)
        if not crossed.difference:
            return (
                f"{self.recipe.name} are as accurate on average as {self.against.name}. That does not show that the "
                "recipes are equally good."
            )
        size = f"{100 * abs(crossed.difference):.2f} points"
        start = f"{better.name} are {size} more accurate on average than {worse.name}."
        if crossed.new_images[0] > 0 or crossed.new_images[1] < 0:
            meaning = "Neither the seeds nor the choice of test images explain that well."
        elif crossed.same_images[0] > 0 or crossed.same_images[1] < 0:
            meaning = "The seeds hardly explain that; the choice of test images may."
        else:
            meaning = "The seeds alone may explain that. It does not show that the recipes are equally good either."
        return f"{start} {meaning} {self._describe_seeds(size)}"

    def _describe_seeds(self, size: str) -> str:
        here, anywhere = (self.crossed.count_seeds(has_new_images=is_new) for is_new in (False, True))
        seeds = "more than any practical number of" if here is None else f"{here:,}"
        text = (
            f"To see a true difference of {size} with a probability of {percent(POWER, 0)} takes {seeds} seeds of each "
            "recipe on these images"
        )
        if anywhere is not None:
            return f"{text}, and {anywhere:,} for a statement about new images."
        least = 100 * self.crossed.least_visible
        return (
            f"{text}. For a statement about new images no number of seeds does: {self.crossed.n:,} images hide "
            f"differences below {least:.2f} points."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON; differences and variances of fractions."""
        crossed = self.crossed
        return {
            "split": "test",
            "content_hash": self.content_hash,
            "n": crossed.n,
            "logits": self.logits,
            "confidence": CONFIDENCE,
            "power": POWER,
            "recipe": self.recipe.to_dict(),
            "against": self.against.to_dict(),
            "is_paired": crossed.is_paired,
            "difference": crossed.difference,
            "same_images": {
                "confidence_interval": list(crossed.same_images),
                "degrees_of_freedom": crossed.seed_freedom,
                "seeds_needed": crossed.count_seeds(has_new_images=False),
            },
            "new_images": {
                "confidence_interval": list(crossed.new_images),
                "degrees_of_freedom": crossed.freedom,
                "seeds_needed": crossed.count_seeds(has_new_images=True),
                "least_visible_difference": crossed.least_visible,
            },
            "variance": {
                "seeds": crossed.seed_variance,
                "images": crossed.image_variance,
                "seeds_if_images_were_independent": crossed.least_seed_variance,
            },
            "meaning": self.describe(),
            "notes": list(self.notes),
        }
