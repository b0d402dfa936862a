"""Selection of the test images that a page lists, of those that it has pictures of, and of those to make maps of."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data.random import Stream, random_order
from visionlib.explanation.selection import order_sample
from visionlib.inference.predictions import load_predictions
from visionlib.runs import Run

MOST_LISTED = 20_000
"""Largest number of listed images; with more the page would open slowly."""
_MAP_FRACTION = 4
"""Part of the listed images, one in so many, that the points of the map may take where not all images are listed."""
MOST_PICTURES = 1_800
MOST_NEIGHBOURED = 200
LEAST_SAMPLE = 200
"""Pictures reserved for a sample of the correct images, however many mistakes there are."""

MOST_WORST = 6
"""Images that a view opens with: the worst mistakes beside the verdict, and of a class or a cell without scrolling."""
_MOST_CELLS, _OF_A_CELL = 20, 3


@dataclass(frozen=True, eq=False)
class Choice:
    """Positions in the test split, each in the order of the split.

    Attributes:
        listed: images that the page lists.
        pictured: those with a picture.
        neighboured: those with their nearest training images.
        mapped: those that the map shows.
        words: description of the pictures, and of the listed images if not all are, in a sentence.
    """

    listed: Int64[Tensor, "r"]
    pictured: Int64[Tensor, "p"]
    neighboured: Int64[Tensor, "q"]
    mapped: Int64[Tensor, "m"]
    words: str


def choose_images(
    losses: Float64[Tensor, "n"],
    is_correct: Tensor,
    index: Int64[Tensor, "n"],
    explained: Int64[Tensor, "e"],
    referenced: Int64[Tensor, "d"],
    mapped: Int64[Tensor, "m"],
    *,
    is_full: bool,
    most_pictures: int = MOST_PICTURES,
    most_listed: int = MOST_LISTED,
) -> Choice:
    """Choose the mistakes by loss, the largest first, then a sample of the correct images.

    Args:
        losses: of each image.
        is_correct: whether each prediction is correct.
        index: stable image ids, which determine the sample.
        explained: positions of images with maps.
        referenced: positions of images in other parts of the page, such as label candidates.
        mapped: positions of the images on the embedding map.
        is_full: include a picture of every listed image.
        most_pictures: largest number of pictures otherwise, besides `explained` and `referenced`.
        most_listed: largest number of listed images.
    """
    n, required = len(losses), torch.cat([explained, referenced])
    by_loss = torch.where(is_correct, -1.0, losses).argsort(descending=True, stable=True)
    wrong = by_loss[: n - int(is_correct.sum())]
    order = random_order(0, 0, index, Stream.REPORT_SAMPLE)
    correct = order[is_correct[order]]
    mistakes = wrong[: most_pictures - min(len(correct), LEAST_SAMPLE, most_pictures // 4)]
    sample = correct[: most_pictures - len(mistakes)]
    if n <= most_listed:
        listed = torch.arange(n)
    else:
        mapped = mapped[random_order(0, 0, index[mapped], Stream.REPORT_SAMPLE)][: most_listed // _MAP_FRACTION]
        listed = _take_first(most_listed, required, mistakes, sample, mapped, wrong, correct)
        mapped = mapped[torch.isin(mapped, listed)].sort().values
    rest = "" if len(listed) == n else f"; {_describe_listed(listed, is_correct)}"
    neighboured = torch.unique(torch.cat([wrong if is_full else wrong[:MOST_NEIGHBOURED], explained]))
    neighboured = neighboured[torch.isin(neighboured, listed)]
    if is_full:
        words = "pictures of all listed images" if rest else f"pictures of all {n:,} test images"
        return Choice(listed, listed, neighboured, mapped, words + rest)
    pictured = torch.unique(torch.cat([mistakes, sample, required]))
    worst = f"all {len(wrong):,}" if len(mistakes) == len(wrong) else f"the worst {len(mistakes):,} of {len(wrong):,}"
    words = f"pictures of {worst} mistakes and of a sample of {len(sample):,} of the {len(correct):,} correct images"
    return Choice(listed, pictured[torch.isin(pictured, listed)], neighboured, mapped, words + rest)


def _take_first(count: int, *parts: Int64[Tensor, "_"]) -> Int64[Tensor, "r"]:
    """Return the first different positions of several lists, in ascending order."""
    positions = torch.cat([part[:count] for part in parts]).tolist()
    return torch.tensor(list(dict.fromkeys(positions))[:count], dtype=torch.int64).sort().values


def _describe_listed(listed: Int64[Tensor, "r"], is_correct: Tensor) -> str:
    n, n_correct, n_listed_correct = len(is_correct), int(is_correct.sum()), int(is_correct[listed].sum())
    wrong, listed_wrong = n - n_correct, len(listed) - n_listed_correct
    worst = f"all {wrong:,} mistakes"
    if listed_wrong < wrong:
        worst = f"{listed_wrong:,} of {wrong:,} mistakes, the worst among them,"
    correct = f"{n_listed_correct:,} of {n_correct:,} correct ones"
    return f"listed are {len(listed):,} of {n:,} test images: {worst} and {correct}"


def choose_explained(run: Run, n: int, *, seed: int = 0) -> list[int]:
    """Choose the images to make maps of, so that those that a reader of the page opens first have some.

    These are the worst mistakes, the first images of the most confused cells and of the weakest class, and the first
    correct image of each class; the rest is a sample.

    Args:
        run: has stored predictions.
        n: number of images; all if there are fewer.
        seed: of the sample.
    Returns:
        Stable image ids, in the order of the split.
    Raises:
        RunError: if the run has no predictions.
    """
    stored = load_predictions(run)
    logits, labels = stored.predictions.logits, stored.labels
    losses = F.cross_entropy(logits.double(), labels, reduction="none")
    by_loss = losses.argsort(descending=True, stable=True)
    views = _list_views(by_loss.tolist(), labels.tolist(), logits.argmax(1).tolist())
    sample = order_sample(stored.index.cpu(), seed).tolist()
    chosen = list(dict.fromkeys([*views, *sample]))[:n]  # the first occurrence of each position
    return [int(stored.index[position]) for position in sorted(chosen)]


def _list_views(by_loss: Sequence[int], labels: Sequence[int], predicted: Sequence[int]) -> list[int]:
    """List the first images of each view of the page, in the order in which they are worth a map; some occur twice."""
    mistakes = [position for position in by_loss if labels[position] != predicted[position]]
    cells: dict[tuple[int, int], list[int]] = {}
    for position in by_loss:
        cells.setdefault((labels[position], predicted[position]), []).append(position)
    n_of, wrong_of = Counter(labels), Counter(labels[position] for position in mistakes)
    confused = sorted(
        (cell for cell in cells if cell[0] != cell[1]), key=lambda cell: (-len(cells[cell]), n_of[cell[0]], cell)
    )
    weakest = max(sorted(n_of), key=lambda label: wrong_of[label] / n_of[label], default=-1)
    return [
        *mistakes[:MOST_WORST],
        *(position for cell in confused[:_MOST_CELLS] for position in cells[cell][:_OF_A_CELL]),
        *[position for position in mistakes if labels[position] == weakest][:MOST_WORST],
        *(cells[cell][0] for cell in sorted(cells) if cell[0] == cell[1]),
    ]
