"""Comparison of recipes over seeds: figures by hand, coverage on simulated runs, run folders, refusals in one line."""

import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main

from visionlib import compare_recipes
from visionlib.cli.app import app
from visionlib.data import Dataset
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.evaluation.comparison.crossed import CrossedDifference, compare_crossed
from visionlib.inference.predictions import SplitPredictions, save_predictions
from visionlib.models.model_record import load_record
from visionlib.runs import Run, read_json, write_json

FIRST = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
SECOND = torch.tensor([[1, 0, 0, 0], [1, 0, 0, 1]]).bool()
"""Two runs of either recipe on four images."""


def test_two_seeds_and_four_images_by_hand() -> None:
    crossed = compare_crossed(FIRST, SECOND)
    # Accuracies 1 and 3/4, and 1/4 and 1/2: both have variance 1/32, and their means differ by 7/8 - 3/8.
    assert crossed.difference == pytest.approx(1 / 2)
    assert crossed.seed_variance == pytest.approx(1 / 32)
    assert crossed.seed_freedom == pytest.approx(2)
    # Residuals are +-1/8 thrice and 3/8 for the last image: of 2 x 4 cells 6/64 + 18/64 by 3 degrees of freedom.
    residual = (6 * (1 / 8) ** 2 + 2 * (3 / 8) ** 2) / 3
    assert crossed.least_seed_variance == pytest.approx(2 * residual / 4 / 2)
    # Per image the means differ by 0, 1, 1 and 0: variance 1/3 over images, less the noise of two seeds each.
    assert crossed.image_variance == pytest.approx((1 / 3 - 2 * residual / 2) / 4)
    low, high = crossed.same_images
    assert 1 / 2 - low == pytest.approx(4.302653 * math.sqrt(1 / 32))
    assert high == 1
    total = 1 / 32 + crossed.image_variance
    freedom = total**2 / ((1 / 32) ** 2 / 2 + crossed.image_variance**2 / 3)
    assert (crossed.variance, crossed.freedom) == pytest.approx((total, freedom))


def test_pairs_by_hand() -> None:
    crossed = compare_crossed(FIRST, SECOND, is_paired=True)
    # The runs differ by 3/4 and 1/4.
    assert (crossed.difference, crossed.seed_variance) == pytest.approx((1 / 2, 1 / 8 / 2))
    assert crossed.same_images == (-1, 1)  # 12.7 standard errors of 1/4 to either side
    assert crossed.seed_freedom == 1


def test_turned_round_the_interval_is_negated_and_the_order_of_runs_and_images_is_nothing() -> None:
    crossed, turned = compare_crossed(FIRST, SECOND), compare_crossed(SECOND, FIRST)
    assert turned.new_images == pytest.approx((-crossed.new_images[1], -crossed.new_images[0]))
    shuffled = compare_crossed(FIRST[[1, 0]][:, [2, 0, 3, 1]], SECOND[:, [2, 0, 3, 1]])
    assert shuffled.new_images == pytest.approx(crossed.new_images)


def test_equal_accuracies_by_chance_leave_an_interval() -> None:
    first = torch.tensor([[1, 0, 1, 1], [0, 1, 1, 1]]).bool()
    crossed = compare_crossed(first, SECOND[[0, 0]])
    assert crossed.seed_variance == 0
    # Residuals are +-1/2 for the first two images, and 0 for all others: 1 by 3 degrees of freedom.
    assert crossed.least_seed_variance == pytest.approx(1 / 3 / 4 / 2)
    low, high = crossed.same_images
    assert (high - low) / 2 == pytest.approx(1.959964 * math.sqrt(1 / 24))


def test_runs_that_agree_on_every_image_have_the_variance_of_images_alone() -> None:
    first, second = torch.ones(3, 50).bool(), torch.arange(50).repeat(3, 1) >= 10
    crossed = compare_crossed(first, second)
    assert crossed.same_images == pytest.approx((0.2, 0.2))
    assert crossed.image_variance == pytest.approx(0.2 * 0.8 / 49)
    assert crossed.new_images[1] == pytest.approx(0.2 + 2.0096 * math.sqrt(0.16 / 49), abs=1e-4)


def simulate(
    generator: np.random.Generator, *, seeds: int, n: int, std_of_seeds: float, std_of_images: float
) -> tuple[CrossedDifference, float]:
    """Draw runs of two recipes that are equal on average over all images, and their true difference on these images.

    The logit of an image to be right is its difficulty, which both recipes share, with an effect of recipe and image,
    and one of the seed.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    difficulty, rows, true = generator.normal(1.5, 2, n), [], []
    for _ in range(2):
        logit = difficulty + generator.normal(0, std_of_images, n)
        seed_effect = generator.normal(0, std_of_seeds, (seeds, 1))
        rows.append(torch.from_numpy(generator.random((seeds, n)) < 1 / (1 + np.exp(-logit - seed_effect))))
        expected = 1 / (1 + np.exp(-logit - std_of_seeds * nodes[:, None]))
        true.append(float((expected.mean(1) * weights).sum() / weights.sum()))
    return compare_crossed(*rows), true[0] - true[1]


def check_coverage(repeats: int, *, seeds: int, std_of_seeds: float, std_of_images: float, highest: float) -> None:
    generator = np.random.default_rng(seeds)
    held = np.zeros(2)
    for _ in range(repeats):
        crossed, true = simulate(generator, seeds=seeds, n=200, std_of_seeds=std_of_seeds, std_of_images=std_of_images)
        for position, (interval, target) in enumerate([(crossed.same_images, true), (crossed.new_images, 0.0)]):
            held[position] += interval[0] <= target <= interval[1]
    error = math.sqrt(0.95 * 0.05 / repeats)
    for fraction in held / repeats:
        assert 0.95 - 3 * error <= fraction <= highest + 3 * error


@pytest.mark.parametrize(("std_of_seeds", "std_of_images"), [(0.0, 1.0), (0.2, 1.0)])
def test_the_intervals_hold_the_truth_as_often_as_they_say(std_of_seeds: float, std_of_images: float) -> None:
    check_coverage(150, seeds=6, std_of_seeds=std_of_seeds, std_of_images=std_of_images, highest=0.97)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize(("std_of_seeds", "std_of_images"), list(itertools.product([0.0, 0.1, 0.3], [0.0, 1.0, 2.0])))
def test_coverage_over_a_grid(seeds: int, std_of_seeds: float, std_of_images: float) -> None:
    # Welch's intervals of two or three runs are too wide by their uncertain degrees of freedom.
    highest = {2: 1.0, 3: 0.99}.get(seeds, 0.98)
    check_coverage(2000, seeds=seeds, std_of_seeds=std_of_seeds, std_of_images=std_of_images, highest=highest)


def test_the_parts_of_the_variance_are_right_on_average() -> None:
    generator = np.random.default_rng(0)
    drawn = [simulate(generator, seeds=4, n=200, std_of_seeds=0.2, std_of_images=2) for _ in range(300)]
    by_images = [crossed.image_variance for crossed, _ in drawn]
    by_seeds = [crossed.seed_variance for crossed, _ in drawn]
    # What really varies: the true differences between draws of images, and the observed ones around them.
    between_images = float(np.var([true for _, true in drawn], ddof=1))
    between_seeds = float(np.var([crossed.difference - true for crossed, true in drawn], ddof=1))
    assert np.mean(by_images) == pytest.approx(between_images, rel=0.25)
    assert np.mean(by_seeds) == pytest.approx(between_seeds, rel=0.25)


def of(difference: float, *, per_seed: float, images: float, n: int = 10_000) -> CrossedDifference:
    return CrossedDifference(
        n=n,
        seeds=(3, 3),
        is_paired=False,
        difference=difference,
        seed_variance=per_seed / 3,
        image_variance=images,
        least_seed_variance=0.0,
        variance_per_seed=per_seed,
        seed_freedom=4.0,
    )


def test_the_number_of_seeds_is_that_of_the_textbook() -> None:
    # Two groups that differ by one std: 17 in each give a power of 80 % (Cohen 1988, table 2.3.5, a2 = 0.05).
    crossed = of(0.01, per_seed=2 * 0.01**2, images=0.0)
    assert crossed.count_seeds(has_new_images=False) == 17
    assert crossed.find_power(17, has_new_images=False) == pytest.approx(0.807, abs=0.001)
    # Half a std: 64 in each.
    assert of(-0.005, per_seed=2 * 0.01**2, images=0.0).count_seeds(has_new_images=False) == 64


def test_images_may_hide_a_difference_from_any_number_of_seeds() -> None:
    crossed = of(0.005, per_seed=1e-6, images=0.002**2)
    assert crossed.least_visible == pytest.approx((1.959964 + 0.841621) * 0.002)
    assert crossed.count_seeds(has_new_images=True) is None
    assert crossed.count_seeds(has_new_images=False) == 2
    assert of(0.0, per_seed=1e-6, images=0.0).count_seeds(has_new_images=False) is None
    # A small variance of images brings degrees of freedom, but no statement about new images from fewer seeds.
    both = of(0.043, per_seed=3.93e-4, images=0.0012**2)
    assert both.count_seeds(has_new_images=True) == both.count_seeds(has_new_images=False) == 4


def test_one_run_of_a_recipe_and_pairs_without_partner_are_refused() -> None:
    with pytest.raises(ConfigError, match="runs: 1 of a recipe cannot tell the variance between seeds; name two"):
        compare_crossed(FIRST[:1], SECOND)
    with pytest.raises(ConfigError, match="paired: 2 runs and 3 make no pairs"):
        compare_crossed(FIRST, SECOND[[0, 1, 1]], is_paired=True)
    with pytest.raises(DataError, match="test split: its variance cannot be told by 1 images"):
        compare_crossed(FIRST[:, :1], SECOND[:, :1])


Make = Callable[..., Run]


@pytest.fixture
def make(finished_run: Run, small_shapes: Dataset, tmp_path: Path) -> Make:
    """Make runs on the small dataset with a seed, that are wrong on given images."""

    def make_run(name: str, seed: int, wrong: tuple[int, ...] = (), **settings: object) -> Run:
        run = Run(tmp_path / name)
        shutil.copytree(finished_run.path, run.path)
        record = read_json(run.config)
        record["config"] |= {"seed": seed, **settings}
        write_json(run.config, record)
        predicted = small_shapes.test.labels.clone()
        predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 10
        logits = 3 * torch.nn.functional.one_hot(predicted, 10).float()
        predictions = SplitPredictions(logits, logits, None)
        save_predictions(run, predictions, small_shapes.test, load_record(run).weights_sha256)
        return run

    return make_run


def test_runs_by_hand(make: Make) -> None:
    recipe = [make("a0", 0, (0,)), make("a1", 1, (0, 1, 2))]
    against = [make("b0", 1, (0, 1, 2, 3)), make("b1", 0, (0, 1, 2, 3, 4, 5))]
    comparison = compare_recipes(recipe, [run.path for run in against])
    assert comparison.recipe.accuracies == pytest.approx((69 / 70, 67 / 70))
    assert comparison.recipe.mean - comparison.against.mean == pytest.approx(comparison.crossed.difference)
    assert comparison.crossed.difference == pytest.approx(3 / 70)
    assert comparison.against.std == pytest.approx(math.sqrt(2) / 70)
    assert (comparison.recipe.runs, comparison.against.seeds) == (("a0", "a1"), (1, 0))
    record = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert record["same_images"]["confidence_interval"] == list(comparison.crossed.same_images)
    assert comparison.describe().startswith("a0 and a1 are 4.29 points more accurate on average than b0 and b1.")
    assert len(comparison.notes) == 1
    # By pairs: seed 0 is five images better, seed 1 one.
    paired = compare_recipes(recipe, against, paired=True).crossed
    assert (paired.difference, paired.seed_variance) == pytest.approx((3 / 70, 8 / 70**2 / 2))


def test_what_is_no_draw_of_a_recipe_is_refused_or_noted(make: Make, tmp_path: Path) -> None:
    runs = [make("a0", 0, (0,)), make("a1", 1, (1,)), make("b0", 2, (2, 3)), make("b1", 3, (4,), epochs=9)]
    shutil.copytree(runs[0].path, tmp_path / "copy")
    with pytest.raises(RunError, match=r"copy: has exactly the logits of .*a0: it is the same training"):
        compare_recipes([runs[0], tmp_path / "copy"], runs[2:])
    with pytest.raises(ConfigError, match="a0: is named twice, and counts as one draw"):
        compare_recipes(runs[:2], [runs[0], runs[2]])
    with pytest.raises(ConfigError, match="runs: 1 of a recipe cannot tell"):
        compare_recipes(runs[:1], runs[2:])
    with pytest.raises(ConfigError, match="runs: 0 of a recipe cannot tell"):
        compare_recipes(runs[:2], [])
    with pytest.raises(ConfigError, match="paired: the seeds are 0, 1 on one side and 2, 3 on the other"):
        compare_recipes(runs[:2], runs[2:], paired=True)
    notes = compare_recipes(runs[:2], runs[2:]).notes
    assert "The runs after --against are not of one recipe: they differ in epochs." in notes


def test_the_command_takes_all_runs_behind_against(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = [make(f"a{seed}", seed, (seed,)).path for seed in range(3)]
    against = [make(f"b{seed}", seed, (5, 6 + seed)).path for seed in range(3)]
    comparison = compare_recipes(recipe, against, mirror=True)
    compare = typer.main.get_command(app).commands["compare"]  # type: ignore[attr-defined]
    compare.main([*map(str, recipe), "--against", *map(str, against), "--mirror", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(comparison.to_dict()))
    compare.main(["--mirror", *map(str, recipe), "--against", *map(str, against)], standalone_mode=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert "a0, a1, a2 3 98.57 % 0.00 % 98.57 % 98.57 % b0, b1, b2 3 97.14 % 0.00 %" in printed
    low, high = (f"{100 * bound:+.2f}" for bound in comparison.crossed.new_images)
    assert "second: +1.43 points for 95 % interval by seeds by images seeds needed" in printed.replace("─", "")
    assert f"new images and seeds {low} to {high}" in printed
    assert comparison.describe() in printed
