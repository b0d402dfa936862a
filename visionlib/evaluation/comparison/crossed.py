"""The difference of two recipes over seeds, on the same images: intervals that keep seeds and images apart.

Images and seeds are crossed: every run is tested on every image. The result of run s of a recipe on image i, 1 if it is
right, is the sum of the recipe's mean and three random effects: of the image, of the seed, and of both together (the
interaction, with the noise of one training on one image). Seeds belong to one recipe; images are common to both. So the
difference of the mean accuracies has the variance

    Var = Var_images + Var_seeds,    Var_images = Var_i(p_i - q_i) / n,    Var_seeds = s_p^2 / S + s_q^2 / T

with p_i and q_i the fractions of all seeds that are right on image i, and s^2 the variance of a run's accuracy on these
images. `Var_seeds` is estimated by the accuracies of the runs. The variance over images of the observed differences
holds a part of the interaction as well, which is estimated by the residual mean squares, and taken off (method of
moments, an analysis of variance).

Sources: Searle, Casella and McCulloch 1992, Variance Components, chapter 4; Owen 2007, arXiv:0712.1111, for crossed
effects; Bouthillier et al. 2021, arXiv:2103.03098, for why both sources must be counted.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from visionlib.errors import ConfigError, DataError
from visionlib.evaluation.intervals import CONFIDENCE, Interval, normal_quantile

POWER = 0.8
"""Probability to see a difference, for the number of seeds that this takes."""
MOST_SEEDS = 10_000


@dataclass(frozen=True)
class _Effects:
    """Runs on the same images.

    Attributes:
        seeds: number of runs.
        images: mean of each image over the runs.
        accuracy: mean of all.
        variance: of the runs' accuracies.
        residual: mean square of the interaction.
    """

    seeds: int
    images: Float64[Tensor, "n"]
    accuracy: float
    variance: float
    residual: float

    @property
    def least_variance(self) -> float:
        """Variance of a run's accuracy if its seed acted on every image independently of all others."""
        return self.residual / len(self.images)


@dataclass(frozen=True)
class CrossedDifference:
    """The difference of the mean accuracies of two recipes, and its variance.

    Attributes:
        n: number of images.
        seeds: number of runs of each recipe.
        is_paired: whether runs of the same seed were subtracted from each other.
        difference: mean accuracy of the first recipe minus that of the second.
        seed_variance: of the difference, by the seeds.
        image_variance: of the difference, by the choice of images.
        least_seed_variance: of the difference, if seeds acted on every image independently.
        variance_per_seed: of the difference of one run of each, on these images; for planning, never below what
            independent images would have.
        seed_freedom: degrees of freedom of `seed_variance`, by Welch and Satterthwaite.
    """

    n: int
    seeds: tuple[int, int]
    is_paired: bool
    difference: float
    seed_variance: float
    image_variance: float
    least_seed_variance: float
    variance_per_seed: float
    seed_freedom: float

    @property
    def variance(self) -> float:
        """Of the difference, by both."""
        return self.seed_variance + self.image_variance

    @property
    def freedom(self) -> float:
        """Degrees of freedom of `variance`, by Satterthwaite."""
        return _satterthwaite([(self.seed_variance, self.seed_freedom), (self.image_variance, self.n - 1)])

    @property
    def same_images(self) -> Interval:
        """95 % interval of the difference on these images, for new seeds: Welch's.

        It is at least as wide as one by `least_seed_variance`: few runs may have equal accuracies by chance, although
        they differ on many images.

        Sources: Welch 1947, doi 10.1093/biomet/34.1-2.28; Jordan 2023, arXiv:2304.01910, where the variance between
        runs is close to that of independent images.
        """
        return self._reach_to(self._seed_reach)

    @property
    def new_images(self) -> Interval:
        """95 % interval of the difference for new images and new seeds; it holds `same_images`.

        Source: Satterthwaite 1946, doi 10.2307/3002019.
        """
        reach = _t_quantile(self.freedom) * math.sqrt(self.variance)
        return self._reach_to(max(reach, self._seed_reach))

    @property
    def _seed_reach(self) -> float:
        by_runs = _t_quantile(self.seed_freedom) * math.sqrt(self.seed_variance)
        return max(by_runs, normal_quantile() * math.sqrt(self.least_seed_variance))

    def _reach_to(self, reach: float) -> Interval:
        return max(-1.0, self.difference - reach), min(1.0, self.difference + reach)

    @property
    def least_visible(self) -> float:
        """Smallest true difference that any number of seeds shows on new images, with `POWER`: the images hide less."""
        from scipy.stats import norm

        return float(norm.isf((1 - CONFIDENCE) / 2) + norm.ppf(POWER)) * math.sqrt(self.image_variance)

    def count_seeds(self, *, has_new_images: bool) -> int | None:
        """Smallest number of runs of each recipe that would show this difference.

        Were it the true one, the interval would leave out 0 with a probability of at least `POWER`, by the noncentral t
        distribution.

        Args:
            has_new_images: whether the interval is `new_images`, with as many images as here; else `same_images`.
        Returns:
            At least 2; None if `MOST_SEEDS` are too few, as where there is no difference.
        """
        if self.find_power(MOST_SEEDS, has_new_images=has_new_images) < POWER:
            return None
        low, high = 1, MOST_SEEDS
        while high - low > 1:
            middle = (low + high) // 2
            if self.find_power(middle, has_new_images=has_new_images) < POWER:
                low = middle
            else:
                high = middle
        return high

    def find_power(self, seeds: int, *, has_new_images: bool) -> float:
        """Probability that with this many runs of each, at least 2, the interval leaves out 0 on the right side."""
        from scipy.stats import nct

        if not self.difference:
            return 0.0
        by_seeds = (self.variance_per_seed / seeds, (seeds - 1) * (1 if self.is_paired else 2))
        by_images = (self.image_variance if has_new_images else 0.0, self.n - 1)
        error = math.sqrt(by_seeds[0] + by_images[0])
        if error < 0.01 * abs(self.difference):  # beyond the reach of scipy's nct
            return 1.0
        freedom = _satterthwaite([by_seeds, by_images])
        limit, distance = _t_quantile(freedom), abs(self.difference) / error
        power = float(nct.sf(limit, freedom, distance))
        # The interval for new images holds that for the same ones, though it has more degrees of freedom.
        return min(power, self.find_power(seeds, has_new_images=False)) if has_new_images else power


def compare_crossed(
    first: Bool[Tensor, "s n"], second: Bool[Tensor, "t n"], *, is_paired: bool = False
) -> CrossedDifference:
    """Estimate the difference of two recipes from right and wrong predictions of the same images.

    Args:
        first: a row for each run of the first recipe.
        second: a row for each run of the second recipe.
        is_paired: subtract the rows one by one, as of runs of the same seed; what their seeds have in common, such as
            the order of the images, is then no part of the variance.
    Raises:
        ConfigError: if a recipe has one run, or pairs do not match.
        DataError: if there are fewer than two images.
    """
    seeds, n = (len(first), len(second)), first.shape[1]
    check_seeds(*seeds)
    if n < 2:
        raise DataError("test split", f"its variance cannot be told by {n} images", "test on two or more")
    if is_paired and seeds[0] != seeds[1]:
        raise ConfigError("paired", f"{seeds[0]} runs and {seeds[1]} make no pairs", "name as many on either side")
    sides = [first.double() - second.double()] if is_paired else [first.double(), -second.double()]
    effects = [_find_effects(side) for side in sides]
    between = torch.stack([side.images for side in effects]).sum(0)
    # Var_i of the means over few seeds is larger than that of the means over all seeds.
    beyond_noise = float(between.var()) - sum(side.residual / side.seeds for side in effects)
    return CrossedDifference(
        n=n,
        seeds=seeds,
        is_paired=is_paired,
        difference=sum(side.accuracy for side in effects),
        seed_variance=sum(side.variance / side.seeds for side in effects),
        image_variance=max(0.0, beyond_noise) / n,
        least_seed_variance=sum(side.least_variance / side.seeds for side in effects),
        variance_per_seed=sum(max(side.variance, side.least_variance) for side in effects),
        seed_freedom=_satterthwaite([(side.variance / side.seeds, side.seeds - 1) for side in effects]),
    )


def check_seeds(*seeds: int) -> None:
    """Refuse a recipe with a single run, from which the variance between seeds cannot be told.

    Raises:
        ConfigError: if a number of runs is below 2.
    """
    if min(seeds) < 2:
        problem = f"{min(seeds)} of a recipe cannot tell the variance between seeds"
        raise ConfigError("runs", problem, "name two or more on either side, or compare two runs without --against")


def _find_effects(values: Float64[Tensor, "s n"]) -> _Effects:
    seeds, n = values.shape
    accuracies, images, mean = values.mean(1), values.mean(0), values.mean()
    residuals = values - images - accuracies[:, None] + mean
    mean_square = float(residuals.square().sum()) / ((seeds - 1) * (n - 1))
    return _Effects(seeds, images, float(mean), float(accuracies.var()), mean_square)


def _satterthwaite(parts: list[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each with its own; those of the parts together if the sum is 0."""
    total = sum(variance for variance, _ in parts)
    uncertainty = sum(variance**2 / freedom for variance, freedom in parts)
    return total**2 / uncertainty if uncertainty > 0 else sum(freedom for _, freedom in parts)


def _t_quantile(freedom: float) -> float:
    from scipy.stats import t

    return float(t.isf((1 - CONFIDENCE) / 2, freedom))
