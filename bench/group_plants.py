"""Groups to plant in `shapes`: in the images, or by lot in the mistakes; see `bench/groups.py`."""

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.evaluation.groups.properties import Category, measure_properties
from visionlib.inference.predictions import SplitPredictions

LEAST_OVERLAP = 0.5

Members = Tensor
Found = list[tuple[frozenset[str], Members]]
"""The conditions of each reported group, as `object size at most`, and its images."""


@dataclasses.dataclass(frozen=True, eq=False)
class Plant:
    """A planted group.

    Attributes:
        name: in the table.
        members: its images.
        words: for each of its properties the conditions that describe it.
        rate: of mistakes within it, where these are drawn by lot.
    """

    name: str
    members: Members
    words: tuple[frozenset[str], ...]
    rate: float = 0.0

    def is_found(self, found: Found) -> bool:
        """Whether half of a reported group's images are of this one, and half of this one's are reported."""
        return any(self._overlaps(members) for _, members in found)

    def is_described(self, found: Found) -> bool:
        """Whether such a group's conditions name each property of this one, with the right side or value."""
        return any(self._overlaps(members) and all(words & said for words in self.words) for said, members in found)

    def count_others(self, found: Found) -> int:
        """Count the reported groups of which less than half of the images are of this one."""
        return sum(int((members & self.members).sum()) < LEAST_OVERLAP * int(members.sum()) for _, members in found)

    def _overlaps(self, members: Members) -> bool:
        both = int((members & self.members).sum())
        return both >= LEAST_OVERLAP * max(int(members.sum()), int(self.members.sum()), 1)


def mark_red(split: ImageSplit, name: str) -> Members:
    """Return which images show a red object of a class."""
    entries = {entry.name: entry for entry in measure_properties(split)}
    colour = entries["object colour"]
    assert isinstance(colour, Category)
    return (colour.values == colour.names.index("red")) & (split.labels == split.classes.index(name))


def give_mistakes(predictions: SplitPredictions, split: ImageSplit, is_wrong: Members) -> SplitPredictions:
    """Replace the logits: another class than the label where it shall be wrong; the embeddings stay."""
    said = (split.labels + is_wrong.long()) % len(split.classes)
    logits = 5 * F.one_hot(said, len(split.classes)).float()
    return SplitPredictions(logits, logits, predictions.embeddings)


# The changes of images


def blur(images: Tensor) -> Tensor:
    """Blur by a Gaussian of std 2.5 pixels."""
    offsets = torch.arange(-7, 8).float()
    weights = (-(offsets**2) / (2 * 2.5**2)).exp()
    kernel = (weights[:, None] * weights).div(weights.sum() ** 2).expand(3, 1, 15, 15)
    return F.conv2d(F.pad(images.float(), (7, 7, 7, 7), mode="reflect"), kernel, groups=3)


CHANGES: dict[str, tuple[Callable[[Tensor], Tensor], frozenset[str]]] = {
    "blurred": (blur, frozenset({"sharpness at most"})),
    # All values times a constant: also the contrast and the saturation fall.
    "dark": (
        lambda images: 0.1 * images.float(),
        frozenset({"brightness at most", "contrast at most", "saturation at most", "background is black"}),
    ),
    "low contrast": (
        lambda images: 0.15 * images.float() + 0.85 * images.float().mean((2, 3), keepdim=True),
        frozenset({"contrast at most", "object contrast at most"}),
    ),
}


def change_images(split: ImageSplit, name: str, seed: int, among: Members, fraction: float) -> tuple[ImageSplit, Plant]:
    """Change a fraction of some images, drawn by seed."""
    change, words = CHANGES[name]
    generator = torch.Generator().manual_seed(seed)
    members = among & (torch.rand(len(split), generator=generator) < fraction)
    images = split.images.clone()
    images[members] = change(images[members]).round().clamp(0, 255).to(torch.uint8)
    return dataclasses.replace(split, images=images), Plant(name, members, (words,))


# Mistakes by lot

LOTS = (
    *("brightness at most", "brightness at least", "contrast at most", "sharpness at most", "saturation at most"),
    *("object size at most", "object contrast at most", "saturation at least"),
)


def draw_plant(split: ImageSplit, seed: int) -> Plant:
    """Draw a group by seed: an eighth of the images by a property, or a third of a class, in turn."""
    words = LOTS[seed // 2 % len(LOTS)]
    name, side = words.split(" at ")
    values = next(entry.values for entry in measure_properties(split) if entry.name == name).double()
    values = values if side == "most" else -values
    if seed % 2 == 0:
        return Plant("property", values <= values.quantile(1 / 8), (frozenset({words}),), 0.4)
    label = seed // 2 % len(split.classes)
    is_class = split.labels == label
    members = is_class & (values <= values[is_class].quantile(1 / 3))
    said = frozenset({f"class is {split.classes[label]}"})
    return Plant("property within a class", members, (frozenset({words}), said), 0.6)


def draw_mistakes(split: ImageSplit, members: Members, seed: int, rate: float = 0.0) -> Members:
    """Draw mistakes: at a rate in a group, 2 to 10 % of each class otherwise."""
    generator = torch.Generator().manual_seed(seed)
    rates = (0.02 + 0.08 * torch.rand(len(split.classes), generator=generator))[split.labels]
    rates[members] = rate
    return torch.rand(len(split), generator=generator) < rates


def permute_mistakes(is_wrong: Members, labels: Tensor, seed: int) -> Members:
    """Permute mistakes within each class."""
    generator, permuted = torch.Generator().manual_seed(seed), is_wrong.clone()
    for label in torch.unique(labels).tolist():
        members = (labels == label).nonzero().flatten()
        permuted[members] = is_wrong[members[torch.randperm(len(members), generator=generator)]]
    return permuted
