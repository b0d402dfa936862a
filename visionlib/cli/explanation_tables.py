"""Explanations and their quality, as tables for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.explanation import Explanation
from visionlib.explanation.quality import Estimate, MapQuality
from visionlib.runs import Run


def tabulate_explanations(explanations: Sequence[Explanation], run: Run) -> tuple[RenderableType, ...]:
    """Lay out the methods and targets, with the layers and the resolution of the maps."""
    table = Table(box=box.SIMPLE_HEAD, title=f"maps of {len(explanations[0]):,} test images", title_justify="left")
    for header, justify in (("method", "left"), ("layers", "left"), ("cells", "right"), ("class", "left")):
        table.add_column(header, justify="right" if justify == "right" else "left")
    table.add_column("constant", justify="right")
    for one in explanations:
        table.add_row(
            one.method,
            Text(", ".join(one.layers) or "the input"),
            f"{one.resolution[0]} x {one.resolution[1]}",
            Text(one.target),
            f"{int(one.is_constant.sum()):,}",
        )
    return table, *_describe_completeness(explanations), Text(f"saved: {run.explanations}")


def _describe_completeness(explanations: Sequence[Explanation]) -> tuple[Text, ...]:
    """Say for how many images the attributions are complete, and how far the others are from it."""
    lines = []
    for one in explanations:
        if (found := one.completeness) is not None:
            largest = "n/a" if found["largest_gap"] is None else f"{found['largest_gap']:.1%}"
            lines.append(
                f"{one.method}, {one.target}: attributions sum to the difference of the logits within "
                f"{found['limit']:.0%} for {found['within']:,} of {found['n']:,} images; largest gap {largest}"
            )
    return tuple(map(Text, lines))


def tabulate_quality(quality: MapQuality) -> tuple[RenderableType, ...]:
    """Lay out the measures of every method, the best first, with a legend and the conclusions."""
    title = f"are the maps reliable? {quality.n:,} test images, seed {quality.seed}; means with 95 % intervals"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("method")
    table.add_column("cells", justify="right")
    has_masks = quality.mask_fraction is not None
    headers = ["randomized"]
    headers += ["pointing game", "on the object"] if has_masks else []
    headers += ["grid", "deletion", "insertion"]
    for header in headers:
        table.add_column(header, justify="right")
    table.add_column("passed")
    for one in quality.methods:
        estimates = [one.sanity]
        estimates += [one.pointing_game, one.energy_in_mask] if has_masks else []
        estimates += [one.grid_pointing, one.deletion, one.insertion]
        table.add_row(
            one.method,
            f"{one.resolution[0]} x {one.resolution[1]}",
            *(_show(estimate) for estimate in estimates),
            {True: "yes", False: "NO", None: "n/a"}[one.is_passed],
        )
    legend = [
        "randomized: correlation with maps of the network with shuffled weights, low is good",
        "grid: fraction of the evidence on the right one of four images, chance 0.25",
        "deletion, insertion: area under the class's probability; low, high is good",
    ]
    if quality.mask_fraction is not None:
        legend.insert(1, f"on the object: fraction of the evidence; objects cover {quality.mask_fraction.value:.3f}")
    further, meaning = _tabulate_further(quality)
    return table, Text("\n".join(legend), style="dim"), further, meaning, Text("\n".join(quality.conclusions))


def _tabulate_further(quality: MapQuality) -> tuple[Table, Text]:
    """Lay out robustness, complexity and completeness, which do not decide on the order of the methods."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("method")
    for header in ("sensitivity", "sparseness", "entropy", "completeness gap"):
        table.add_column(header, justify="right")
    for one in quality.methods:
        estimates = (one.sensitivity, one.sparseness, one.complexity)
        table.add_row(one.method, *map(_show, estimates), _show(one.completeness_gap, digits=4))
    legend = [
        "sensitivity: largest change of the map under noise of 2 % of the gray levels, relative; low is good",
        "sparseness: Gini index, 0 for equal cells, 1 for one cell; entropy in nats, 0 for one cell",
        "completeness gap: of the attributions' sum from the difference of the logits, relative",
    ]
    return table, Text("\n".join(legend), style="dim")


def _show(estimate: Estimate | None, digits: int = 2) -> str:
    if estimate is None:
        return "n/a"
    if estimate.interval is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} {estimate.interval[0]:.{digits}f}-{estimate.interval[1]:.{digits}f}"
