"""A comparison of runs as tables for the terminal."""

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.data.class_names import embed_name
from visionlib.evaluation.comparison.comparison import Comparison, PairComparison
from visionlib.evaluation.comparison.recipe_comparison import RecipeComparison
from visionlib.evaluation.comparison.run_metrics import RunMetrics
from visionlib.evaluation.intervals import wilson_interval
from visionlib.evaluation.wording import (
    UNKNOWN,
    count,
    number,
    p_value,
    percent,
    percent_with_interval,
    points,
    points_interval,
)

_DIFFERENCE = ("only 1st", "only 2nd", "2nd - 1st", "95 % interval")


def tabulate_comparison(comparison: Comparison) -> tuple[RenderableType, ...]:
    """Lay out the metrics of the runs, the pairs, the classes, and the meaning in sentences."""
    definitions = (
        f"accuracies with 95 % Wilson intervals, loss in nats with that of its mean; pairs by {comparison.logits} "
        f"logits, with a paired bootstrap of {comparison.resamples:,} draws, seed {comparison.seed}"
    )
    return (
        _tabulate_runs(comparison),
        _tabulate_pairs(comparison),
        *([_tabulate_classes(comparison.pairs[0])] if len(comparison.pairs) == 1 else []),
        *(Text(comparison.describe(pair)) for pair in comparison.pairs),
        Text("\n".join(["", definitions, *comparison.notes]), style="dim"),
    )


def _tabulate_runs(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=f"{len(comparison.labels):,} test images", title_justify="left")
    table.add_column("")
    for run in comparison.runs:
        table.add_column(Text(embed_name(run.name)), justify="right", overflow="fold")
    columns = [_cells(run) for run in comparison.runs]
    for header in columns[0]:
        table.add_row(header, *(Text(cells[header]) for cells in columns))
    return table


def _cells(run: RunMetrics) -> dict[str, str]:
    loss = UNKNOWN if run.loss is None else f"{run.loss:.4f}"
    if run.loss_interval is not None:
        loss += " ({:.3f} to {:.3f})".format(*run.loss_interval)
    return {
        "network": embed_name(run.model),
        "parameters": count(run.parameters),
        "epochs": count(run.epochs),
        "training": UNKNOWN if run.training_seconds is None else f"{run.training_seconds:,.0f} s",
        "accuracy": percent_with_interval(run.accuracy, wilson_interval(run.correct, run.n)),
        "with mirror averaging": percent_with_interval(run.mirror_accuracy, wilson_interval(run.mirror_correct, run.n)),
        "loss": loss,
    }


def _tabulate_pairs(comparison: Comparison) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, title="images that only one gets right, accuracy in points", title_justify="left"
    )
    for header in ("first", "second"):
        table.add_column(header, overflow="fold")
    for header in (*_DIFFERENCE, "p" if len(comparison.pairs) == 1 else "p by Holm"):
        table.add_column(header, justify="right", no_wrap=header in _DIFFERENCE[2:])
    for pair in comparison.pairs:
        cells = [embed_name(comparison.runs[position].name) for position in (pair.first, pair.second)]
        cells += [count(pair.counts.only_first), count(pair.counts.only_second)]
        cells += [points(pair.difference), points_interval(pair.interval), p_value(pair.adjusted_p, is_cell=True)]
        table.add_row(*map(Text, cells))
    return table


def _tabulate_classes(pair: PairComparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("class")
    for header in ("n", *_DIFFERENCE):
        table.add_column(header, justify="right", no_wrap=header in _DIFFERENCE[2:])
    for entry in pair.per_class:
        cells = [embed_name(entry.name)]
        cells += [count(value) for value in (entry.counts.n, entry.counts.only_first, entry.counts.only_second)]
        table.add_row(*map(Text, [*cells, points(entry.counts.difference), points_interval(entry.interval)]))
    return table


def tabulate_recipes(comparison: RecipeComparison) -> tuple[RenderableType, ...]:
    """Lay out the accuracies of two recipes, their difference with its sources of variance, and the meaning."""
    pairing = "the difference by pairs of runs of the same seed" if comparison.crossed.is_paired else "seeds not paired"
    definitions = (
        f"std between runs, with n - 1; by {comparison.logits} logits; {pairing}; 95 % t-intervals; by seeds, "
        "by images: standard error of the difference by this source"
    )
    return (
        _tabulate_sides(comparison),
        _tabulate_difference(comparison),
        Text(comparison.describe()),
        Text("\n".join(["", definitions, *comparison.notes]), style="dim"),
    )


def _tabulate_sides(comparison: RecipeComparison) -> Table:
    title = f"accuracy on {comparison.crossed.n:,} test images"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("runs", overflow="fold")
    for header in ("n", "mean", "std", "lowest", "highest"):
        table.add_column(header, justify="right", no_wrap=True)
    for side in (comparison.recipe, comparison.against):
        accuracies = (side.mean, side.std, min(side.accuracies), max(side.accuracies))
        cells = [", ".join(map(embed_name, side.runs)), count(len(side.runs)), *(percent(one, 2) for one in accuracies)]
        table.add_row(*map(Text, cells))
    return table


def _tabulate_difference(comparison: RecipeComparison) -> Table:
    crossed = comparison.crossed
    title = f"mean of the first minus that of the second: {points(crossed.difference)} points"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("for", no_wrap=True)
    for header in ("95 % interval", "by seeds", "by images", "seeds needed"):
        table.add_column(header, justify="right", no_wrap=True)
    by_seeds = number(100 * crossed.seed_variance**0.5, 2)
    by_images = number(100 * crossed.image_variance**0.5, 2)
    for name, interval, images, has_new_images in (
        ("new seeds", crossed.same_images, "", False),
        ("new images and seeds", crossed.new_images, by_images, True),
    ):
        needed = count(crossed.count_seeds(has_new_images=has_new_images))
        table.add_row(name, points_interval(interval), by_seeds, images, needed)
    return table
