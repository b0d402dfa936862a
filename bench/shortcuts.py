"""Plant shortcuts in `shapes` and CIFAR-10, and count how often `find_shortcuts` raises an alarm, there and elsewhere.

.venv/bin/python -m bench.shortcuts [--sets 20] [--n 1000] [--cifar10 FOLDER] [--only WORD]

One class of a new draw of images is changed, the next one for each seed: a coloured square in a corner of its images, a
line at an edge, a tint, darker images, another file mode or size; in all of its images or in some. An alarm counts if
it names that class, and no other. Nothing is planted in the rest: `shapes` and CIFAR-10 as they are.
"""

import argparse
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from visionlib import find_shortcuts, load_dataset
from visionlib.data import ImageSplit, draw_shapes
from visionlib.data.dataset import Originals
from visionlib.data.random import Stream, random_order, random_uniform
from visionlib.evaluation import Shortcuts, wilson_interval

FIRST_SEED = 100
Change = Callable[[Tensor], Tensor]
MAGENTA, GREY = (255, 0, 255), (128, 128, 128)


def corner(side_px: int, colour: tuple[int, int, int] = MAGENTA, place: str = "top left") -> Change:
    """Paint a square into a corner of all images."""
    rows = slice(0, side_px) if "top" in place else slice(-side_px, None)
    columns = slice(0, side_px) if "left" in place else slice(-side_px, None)

    def change(images: Tensor) -> Tensor:
        images[:, :, rows, columns] = torch.tensor(colour, dtype=images.dtype)[:, None, None]
        return images

    return change


def line(images: Tensor) -> Tensor:
    """Paint the lowest row of all images white."""
    images[:, :, -1:] = 255
    return images


def frame(images: Tensor) -> Tensor:
    """Paint a black frame of one pixel."""
    for part in (images[:, :, :1], images[:, :, -1:], images[..., :1], images[..., -1:]):
        part[:] = 0
    return images


def scale(*factors: float) -> Change:
    """Multiply the channels."""
    return lambda images: images * torch.tensor(factors)[:, None, None]


PLANTS: dict[str, tuple[Change, float]] = {
    "magenta corner of 5 px": (corner(5), 1.0),
    "the same, 60 % of the class": (corner(5), 0.6),
    "the same, 20 % of the class": (corner(5), 0.2),
    "magenta corner of 3 px, bottom right, 60 %": (corner(3, place="bottom right"), 0.6),
    "magenta corner of 2 px, top right": (corner(2, place="top right"), 1.0),
    "magenta corner of 1 px, bottom left": (corner(1, place="bottom left"), 1.0),
    "grey corner of 3 px, 60 %": (corner(3, GREY), 0.6),
    "white line at the bottom, 60 %": (line, 0.6),
    "black frame of 1 px, 60 %": (frame, 0.6),
    "green and blue times 0.6": (scale(1, 0.6, 0.6), 1.0),
    "green and blue times 0.6, 60 %": (scale(1, 0.6, 0.6), 0.6),
    "green and blue times 0.8": (scale(1, 0.8, 0.8), 1.0),
    "all times 0.5": (scale(0.5), 1.0),
    "all times 0.5, 60 %": (scale(0.5), 0.6),
    "all times 0.7": (scale(0.7), 1.0),
}
IN_PHOTOGRAPHS = ("the same, 60 % of the class", "white line at the bottom, 60 %", "all times 0.5, 60 %")


def draw_members(split: ImageSplit, label: int, fraction: float, seed: int) -> Tensor:
    """Draw a fraction of a class by seed."""
    members = (split.labels == label).nonzero()[:, 0]
    order = random_order(seed, 0, split.index[members], Stream.SHORTCUT_IMAGES)
    return members[order[: round(fraction * len(members))]]


def plant(split: ImageSplit, label: int, change: Change, fraction: float, seed: int) -> ImageSplit:
    """Change a fraction of a class."""
    members, images = draw_members(split, label, fraction, seed), split.images.clone()
    images[members] = change(images[members].float()).round().clamp(0, 255).to(torch.uint8)
    return dataclasses.replace(split, images=images)


def plant_files(split: ImageSplit, label: int, name: str, seed: int) -> ImageSplit:
    """Let 60 % of a class come from grayscale files, or be 10 % larger than the others, of many sizes."""
    members, modes = draw_members(split, label, 0.6, seed), ["RGB"] * len(split)
    sizes = (40 + 60 * random_uniform(seed, 0, split.index, Stream.SHORTCUT_IMAGES)).long()[:, None].repeat(1, 2)
    if name == "mode":
        modes = ["L" if position in set(members.tolist()) else mode for position, mode in enumerate(modes)]
    elif name == "size":
        sizes[members] = 110
    return dataclasses.replace(split, originals=Originals(sizes, tuple(modes)))


@functools.cache
def _load(folder: str) -> ImageSplit:
    return load_dataset(folder).train


def draw_cifar10(folder: str, n: int, seed: int) -> ImageSplit:
    """Draw training images by seed."""
    split = _load(folder)
    order = random_order(seed, 0, split.index, Stream.SHORTCUT_IMAGES)[:n]
    return dataclasses.replace(split.subset(order), originals=None)


def list_sets(n: int, cifar10: str | None) -> Iterator[tuple[str, Callable[[int], tuple[ImageSplit, int | None]]]]:
    """Name every experiment, with a function that draws its images and the planted class by seed."""
    yield "nothing: shapes", lambda seed: (draw_shapes(n, seed=seed), None)
    sources: dict[str, Callable[[int], ImageSplit]] = {"shapes": lambda seed: draw_shapes(n, seed=seed)}
    if cifar10 is not None:
        sources["CIFAR-10"] = lambda seed: draw_cifar10(cifar10, n, seed)
        yield "nothing: CIFAR-10", lambda seed: (draw_cifar10(cifar10, n, seed), None)
        yield "nothing: CIFAR-10, 5 times as many", lambda seed: (draw_cifar10(cifar10, 5 * n, seed), None)
    for source, draw in sources.items():
        for name in PLANTS if source == "shapes" else IN_PHOTOGRAPHS:
            change, fraction = PLANTS[name]
            yield f"{source}: {name}", functools.partial(_draw_changed, draw, change, fraction)
    for name in ("mode", "size"):
        yield f"shapes: other file {name}, 60 %", functools.partial(_draw_files, n, name)


def _draw_changed(
    draw: Callable[[int], ImageSplit], change: Change, fraction: float, seed: int
) -> tuple[ImageSplit, int | None]:
    return plant(draw(seed), seed % 10, change, fraction, seed), seed % 10


def _draw_files(n: int, name: str, seed: int) -> tuple[ImageSplit, int | None]:
    return plant_files(draw_shapes(n, seed=seed), seed % 10, name, seed), seed % 10


def judge(result: Shortcuts, planted: str | None) -> tuple[bool, bool]:
    """Return whether the planted class is named, and whether another is."""
    named = set(result.list_alarms())
    return planted in named, bool(named - {planted})


def main() -> None:
    """Plant, search, and print a row for each experiment."""
    parser = argparse.ArgumentParser(description="Plant shortcuts, and search them.")
    parser.add_argument("--sets", type=int, default=20, help="seeds of each experiment")
    parser.add_argument("--n", type=int, default=1000, help="images of each set")
    parser.add_argument("--cifar10", help="also with images of CIFAR-10 from here")
    parser.add_argument("--only", default="", help="experiments whose names contain this")
    options = parser.parse_args()
    started = time.perf_counter()
    sys.stdout.write("| planted | sets | the class is reported | another class is | best property, mean recall |\n")
    sys.stdout.write("|---|---|---|---|---|\n")
    for name, draw in list_sets(options.n, options.cifar10):
        if options.only not in name:
            continue
        found, wrong, recalls = 0, 0, []
        for seed in range(FIRST_SEED, FIRST_SEED + options.sets):
            split, label = draw(seed)
            result = find_shortcuts(split, seed=seed)
            is_found, is_wrong = judge(result, None if label is None else split.classes[label])
            found, wrong = found + is_found, wrong + is_wrong
            if label is not None and is_found:
                recalls.append(result.list_alarms()[split.classes[label]][0][1].recall)
        low, high = wilson_interval(found if label is not None else wrong, options.sets) or (0.0, 1.0)
        interval = f" ({100 * low:.0f} to {100 * high:.0f} %)"
        mean = f"{100 * sum(recalls) / len(recalls):.0f} %" if recalls else ""
        cells = (f"{found}{interval}", str(wrong)) if label is not None else ("", f"{wrong}{interval}")
        sys.stdout.write(f"| {name} | {options.sets} | {' | '.join(cells)} | {mean} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"torch {torch.__version__}, {time.perf_counter() - started:.0f} s\n")


if __name__ == "__main__":
    main()
