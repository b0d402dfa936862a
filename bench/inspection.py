"""Measure the inspection of a dataset at CIFAR-10's size, beside the goals: seconds, the median of three.

.venv/bin/python bench/inspection.py [DATASET [ROUNDS]]

Without a dataset the images are synthetic: 60,000 of 3 x 32 x 32, with large areas of colour and finer structure, as
photographs have. A hundred of them occur a second time, slightly changed.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

# The script beside this one.
from inspection_run import draw_embeddings
from torch import Tensor

from visionlib.data import Dataset, ImageSplit, load_dataset
from visionlib.evaluation import score_logits
from visionlib.inference.device import choose_compute
from visionlib.inspection import MapSettings, find_duplicates, inspect_dataset
from visionlib.inspection.embedding_duplicates import find_close_pairs
from visionlib.inspection.embedding_map import lay_out_map
from visionlib.inspection.nearest import find_nearest

_N_TRAIN, _N_TEST, _CLASSES = 50_000, 10_000, 10
_COPIES = 100
_ROUNDS = 3


def draw_photographs(n: int, generator: torch.Generator) -> Tensor:
    """Draw images as smooth as photographs: coarse colours, finer brightness."""
    parts = []
    for start in range(0, n, 4096):
        rows = min(4096, n - start)
        image = torch.full((rows, 3, 32, 32), 128.0)
        for side, strength, channels in ((2, 60, 3), (4, 35, 1), (8, 25, 1), (16, 20, 1)):
            noise = strength * torch.randn(rows, channels, side, side, generator=generator)
            image += F.interpolate(noise, size=32, mode="bilinear")
        parts.append(image.clamp(0, 255).to(torch.uint8))
    return torch.cat(parts)


def draw_dataset() -> Dataset:
    """Draw a training and a test split, with some training images in the test split as well."""
    generator = torch.Generator().manual_seed(0)
    images = draw_photographs(_N_TRAIN + _N_TEST, generator)
    images[_N_TRAIN : _N_TRAIN + _COPIES] = images[:_COPIES].roll(1, 3)
    names = tuple(f"class {number}" for number in range(_CLASSES))

    def cut(part: Tensor) -> ImageSplit:
        return ImageSplit(part, torch.arange(len(part)) % _CLASSES, names, torch.arange(len(part)))

    return Dataset("drawn", {"train": cut(images[:_N_TRAIN]), "test": cut(images[_N_TRAIN:])}, names)


def measure(name: str, work: Callable[[], object], rounds: int, goal: str = "") -> None:
    """Print the median, lowest and highest seconds of the work."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    row = f"{statistics.median(seconds):8.2f} {min(seconds):8.2f} {max(seconds):8.2f} {goal:>8}"
    sys.stdout.write(f"{name:<52} {row}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure on synthetic images, or on a dataset given on the command line; embeddings and logits are synthetic."""
    dataset = load_dataset(sys.argv[1]) if len(sys.argv) > 1 else draw_dataset()
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else _ROUNDS
    sys.stdout.write(f"{choose_compute()}; torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    sys.stdout.write(f"{'seconds':<52}   median      low     high     goal\n")
    n = f"{sum(len(split) for split in dataset.splits.values()):,} images"
    measure(f"inspect_dataset, {n}", lambda: inspect_dataset(dataset), rounds)
    measure(f"exact duplicates, {n}", lambda: find_duplicates(dataset, near=False), rounds, "10")
    measure(f"exact, near and mirrored duplicates, {n}", lambda: find_duplicates(dataset), rounds, "60")

    generator = torch.Generator().manual_seed(1)
    test, train = (draw_embeddings(count, generator) for count in (_N_TEST, _N_TRAIN))
    both = torch.cat([train.embeddings, test.embeddings])
    measure("close pairs of embeddings, 60,000 x 512", lambda: find_close_pairs(both), rounds)
    measure(
        "nearest 5 of 50,000, for 10,000 x 512",
        lambda: find_nearest(test.embeddings, train.embeddings, 5),
        rounds,
    )
    measure("embedding map, 10,000 x 512", lambda: lay_out_map(test, MapSettings()), rounds, "40")
    logits = F.one_hot(test.labels, _CLASSES) * 2 + torch.randn(_N_TEST, _CLASSES, generator=generator)
    measure(
        "all figures from logits, 10,000 images", lambda: score_logits(logits, test.labels, test.classes), rounds, "2"
    )


if __name__ == "__main__":
    main()
