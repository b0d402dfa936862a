"""Results of `visionlib inspect` as tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.cli.source_column import SourceCell, describe_folder, stack_sources
from visionlib.evaluation.wording import percent

_MAX_ROWS = 10


def tabulate_inspection(result: Mapping[str, Any]) -> tuple[RenderableType, ...]:
    """Lay out the map, neighbours and candidates that a result has."""
    parts: list[RenderableType] = []
    if "map" in result:
        parts.append(_describe_map(result["map"]))
    if "neighbours" in result:
        parts += _tabulate_neighbours(result["neighbours"], result["source_folder"])
    if "candidates" in result:
        parts += _tabulate_candidates(result["candidates"], result["source_folder"])
    return tuple(parts)


def _describe_map(result: Mapping[str, Any]) -> Text:
    part = "" if result["n"] == result["n_split"] else f" of {result['n_split']:,}"
    return Text(
        f"embedding map of {result['split']}: {result['n']:,}{part} images, perplexity {result['perplexity']:.3g}, "
        f"divergence {result['kl_divergence']:.3f} nats\n"
        f"trustworthiness {result['trustworthiness']:.3f} ({result['trustworthiness_neighbours']} neighbours, "
        f"on a sample of {result['trustworthiness_n']:,} images)\n"
        f"kept: {result['kept']}"
    )


def _tabulate_neighbours(result: Mapping[str, Any], folder: str | None) -> tuple[RenderableType, ...]:
    title = f"nearest training images of {len(result['images'])} test images, with cosine distances"
    sources = [one["source"] for row in result["images"] for one in (row, *row["neighbours"])]
    has_sources = any(sources)
    table = Table(box=box.SIMPLE_HEAD)
    for header in ("index", "class", "predicted", "nearest training images"):
        table.add_column(header, justify="right" if header == "index" else "left")
    if has_sources:
        table.add_column("files: the image, then its neighbours")
    for row in result["images"]:
        near = "\n".join(f"{one['distance']:.3f} {one['class']} ({one['index']})" for one in row["neighbours"])
        cells = [Text(str(row["index"])), Text(row["class"]), Text(row["predicted"]), Text(near)]
        files = [stack_sources(one["source"] for one in (row, *row["neighbours"]))] if has_sources else []
        if has_sources:
            cells[-1] = Text("\n" + near)  # each neighbour beside its file
        table.add_row(*cells, *files)
    fractions = [percent(result[name]) for name in ("agreement", "agreement_when_right", "agreement_when_wrong")]
    summary = (
        f"of all {result['n']:,} test images, {fractions[0]} of {result['k']} neighbours have the predicted class: "
        f"{fractions[1]} where the prediction is right, {fractions[2]} where it is wrong\n"
        f"a vote of the neighbours is right for {percent(result['vote_accuracy'])}"
    )
    if not result["is_exact"]:
        summary += "\nfound by an index, which misses a few neighbours: docs/scaling.md"
    return *describe_folder(folder, sources), Text(title), table, Text(summary)


def _tabulate_candidates(result: Mapping[str, Any], folder: str | None) -> tuple[RenderableType, ...]:
    summary = (
        f"{result['candidates']:,} of {result['n']:,} images ({percent(result['share'], 2)}); "
        "score: probability of the given class\n"
        f"by {result['method']}\nof {result['source']}"
    )
    title = f"label candidates in {result['split']}: images to look at, not errors"
    if not result["images"]:
        return (Text(f"{title}\n{summary}"),)
    table = Table(box=box.SIMPLE_HEAD)
    sources = [row["source"] for row in result["images"]]
    headers = ("index", *(["file"] if any(sources) else []), "given", "suggested", "score")
    for header in headers:
        table.add_column(header, justify="right" if header in ("index", "score") else "left")
    for row in result["images"][:_MAX_ROWS]:
        files = [SourceCell(row["source"])] if any(sources) else []
        table.add_row(str(row["index"]), *files, Text(row["given"]), Text(row["suggested"]), f"{row['score']:.4f}")
    return *describe_folder(folder, sources), Text(title), table, Text(summary)
