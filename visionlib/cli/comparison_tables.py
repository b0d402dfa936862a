"""A comparison of runs as tables for the terminal."""

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.data.class_names import embed_name
from visionlib.evaluation.comparison.comparison import Comparison, PairComparison, format_p
from visionlib.evaluation.comparison.paired import Interval
from visionlib.evaluation.comparison.run_figures import RunFigures
from visionlib.evaluation.intervals import wilson_interval

_DIFFERENCE = ("only 1st", "only 2nd", "2nd - 1st", "95 % interval")


def tabulate_comparison(comparison: Comparison) -> tuple[RenderableType, ...]:
    """Lay out the runs' figures, the pairs, the classes, and what it means in words."""
    words = [comparison.describe(pair) for pair in comparison.pairs]
    definitions = (
        f"accuracies with 95 % Wilson intervals, loss in nats with that of its mean; pairs by {comparison.logits} "
        f"logits, with a paired bootstrap of {comparison.resamples:,} draws, seed {comparison.seed}"
    )
    return (
        _tabulate_runs(comparison),
        _tabulate_pairs(comparison),
        *([_tabulate_classes(comparison.pairs[0])] if len(comparison.pairs) == 1 else []),
        *map(Text, words),
        Text("\n".join(["", definitions, *comparison.notes]), style="dim"),
    )


def _tabulate_runs(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=f"{len(comparison.labels):,} test images", title_justify="left")
    table.add_column("")
    for run in comparison.runs:
        table.add_column(Text(embed_name(run.name)), justify="right", overflow="fold")
    lines = [_cells(run) for run in comparison.runs]
    for header in lines[0]:
        table.add_row(header, *(Text(cells[header]) for cells in lines))
    return table


def _cells(run: RunFigures) -> dict[str, str]:
    return {
        "network": embed_name(run.model),
        "parameters": "n/a" if run.parameters is None else f"{run.parameters:,}",
        "epochs": "n/a" if run.epochs is None else f"{run.epochs:,}",
        "training": "n/a" if run.training_seconds is None else f"{run.training_seconds:,.0f} s",
        "accuracy": _share(run.accuracy, wilson_interval(run.correct, run.n)),
        "with mirror averaging": _share(run.mirror_accuracy, wilson_interval(run.mirror_correct, run.n)),
        "loss": "n/a" if run.loss is None else f"{run.loss:.4f}" + _range(run.loss_interval, "{:.3f}", 1),
    }


def _share(value: float | None, interval: Interval | None) -> str:
    return "n/a" if value is None else f"{value:.2%}" + _range(interval, "{:.1f}", 100)


def _range(interval: Interval | None, form: str, factor: float) -> str:
    return "" if interval is None else " ({} to {})".format(*(form.format(factor * value) for value in interval))


def _tabulate_pairs(comparison: Comparison) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, title="images that only one gets right, accuracy in points", title_justify="left"
    )
    for header in ("first", "second"):
        table.add_column(header, overflow="fold")
    for header in (*_DIFFERENCE, "p" if len(comparison.pairs) == 1 else "p by Holm"):
        table.add_column(header, justify="right", no_wrap=header in _DIFFERENCE[2:])
    for pair in comparison.pairs:
        cells = [embed_name(comparison.runs[place].name) for place in (pair.first, pair.second)]
        cells += [f"{pair.counts.only_first:,}", f"{pair.counts.only_second:,}"]
        cells += [_points(pair.difference), _points_range(pair.interval), _p(pair.adjusted_p)]
        table.add_row(*map(Text, cells))
    return table


def _tabulate_classes(pair: PairComparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("class")
    for header in ("n", *_DIFFERENCE):
        table.add_column(header, justify="right", no_wrap=header in _DIFFERENCE[2:])
    for entry in pair.per_class:
        counts = entry.counts
        cells = [embed_name(entry.name), f"{counts.n:,}", f"{counts.only_first:,}", f"{counts.only_second:,}"]
        table.add_row(*map(Text, [*cells, _points(counts.difference), _points_range(entry.interval)]))
    return table


def _p(p: float) -> str:
    return format_p(p).removeprefix("= ").replace("below ", "<")


def _points(difference: float | None) -> str:
    return "n/a" if difference is None else f"{100 * difference:+.2f}"


def _points_range(interval: Interval | None) -> str:
    return "n/a" if interval is None else f"{100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}"
