"""What `visionlib inspect` found, as tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_MOST_ROWS = 10


def tabulate_inspection(result: Mapping[str, Any]) -> tuple[RenderableType, ...]:
    """Lay out what is there of a map, neighbours and candidates."""
    parts: list[RenderableType] = []
    if "map" in result:
        parts.append(_describe_map(result["map"]))
    if "neighbours" in result:
        parts += _tabulate_neighbours(result["neighbours"])
    if "candidates" in result:
        parts += _tabulate_candidates(result["candidates"])
    return tuple(parts)


def _describe_map(found: Mapping[str, Any]) -> Text:
    part = "" if found["n"] == found["n_split"] else f" of {found['n_split']:,}"
    return Text(
        f"embedding map of {found['split']}: {found['n']:,}{part} images, perplexity {found['perplexity']:.3g}, "
        f"divergence {found['kl_divergence']:.3f} nats\n"
        f"trustworthiness {found['trustworthiness']:.3f} ({found['trustworthiness_neighbours']} neighbours, "
        f"on a sample of {found['trustworthiness_n']:,} images)\n"
        f"kept: {found['kept']}"
    )


def _tabulate_neighbours(found: Mapping[str, Any]) -> tuple[RenderableType, ...]:
    title = f"nearest training images of {len(found['images'])} test images, with cosine distances"
    table = Table(box=box.SIMPLE_HEAD)
    for header in ("index", "class", "predicted", "nearest training images"):
        table.add_column(header, justify="right" if header == "index" else "left")
    for row in found["images"]:
        near = "\n".join(f"{one['distance']:.3f} {one['class']} ({one['index']})" for one in row["neighbours"])
        table.add_row(str(row["index"]), Text(row["class"]), Text(row["predicted"]), Text(near))
    shares = [_share(found[name]) for name in ("agreement", "agreement_when_right", "agreement_when_wrong")]
    told = (
        f"of all {found['n']:,} test images, {shares[0]} of {found['k']} neighbours have the predicted class: "
        f"{shares[1]} where the prediction is right, {shares[2]} where it is wrong\n"
        f"a vote of the neighbours is right for {_share(found['vote_accuracy'])}"
    )
    return Text(title), table, Text(told)


def _tabulate_candidates(found: Mapping[str, Any]) -> tuple[RenderableType, ...]:
    told = (
        f"{found['candidates']:,} of {found['n']:,} images ({found['share']:.2%}); "
        "score: probability of the given class\n"
        f"by {found['method']}\nof {found['source']}"
    )
    title = f"label candidates in {found['split']}: images to look at, not errors"
    if not found["images"]:
        return (Text(f"{title}\n{told}"),)
    table = Table(box=box.SIMPLE_HEAD)
    for header in ("index", "given", "suggested", "score"):
        table.add_column(header, justify="left" if header in ("given", "suggested") else "right")
    for row in found["images"][:_MOST_ROWS]:
        table.add_row(str(row["index"]), Text(row["given"]), Text(row["suggested"]), f"{row['score']:.4f}")
    return Text(title), table, Text(told)


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1%}"
