"""Compare the default training on few images with classifiers of pixels, and of pretrained features.

.venv/bin/python bench/small_data.py CIFAR10 [SEEDS] [weights=RUN] [TASK...]

    .venv/bin/python bench/small_data.py ../shared/data/cifar10-jpeg 0,1,2 weights=runs/bench/novelty-fast-0

Each task takes few training images, by seed, and the test images of its classes, 2,000 at most. The classifiers get an
advantage: regularization and number of neighbours are chosen on the test images. Images that grow are interpolated
bilinearly. The package's weights have learned from all classes of CIFAR-10. So its tasks begin with random weights, but
for three classes that `weights=` does not know: RUN is a training on the other seven (`bench/novelty.py CIFAR10 0
fast`). Runs stay in runs/bench/small/; one that is there already is not trained again.
"""

import math
import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from visionlib import load, load_dataset, train
from visionlib.data import Dataset, ImageSplit
from visionlib.inference import TrainedModel
from visionlib.runs import read_json

_MOST_TEST_IMAGES = 2_000


@dataclass(frozen=True)
class Task:
    """Few images of a data set.

    Attributes:
        source: name of the data set; `cifar10` is the one of the command line.
        per_class: training images of each class.
        classes: positions of the classes in the source, or None for all.
        rare: divides the number of images of every second class.
        side_px: side to which the images are enlarged, or None.
        weights: that know none of its images: a name, or `RUN` for those of the command line; None for random ones.
    """

    source: str
    per_class: int
    classes: tuple[int, ...] | None = None
    rare: int = 1
    side_px: int | None = None
    weights: str | None = None


_PETS = (3, 5)  # cat, dog
_ANIMALS = (2, 3, 4, 5, 6)
_UNKNOWN = (7, 8, 9)  # horse, ship, truck: not among the first seven
TASKS = {
    "cifar10, 20 a class": Task("cifar10", 20),
    "cifar10, 100 a class": Task("cifar10", 100),
    "cifar10, 500 a class": Task("cifar10", 500),
    "cat or dog, 20 a class": Task("cifar10", 20, _PETS),
    "cat or dog, 100 a class": Task("cifar10", 100, _PETS),
    "cat or dog, 100 and 10": Task("cifar10", 100, _PETS, rare=10),
    "five animals, 100 a class": Task("cifar10", 100, _ANIMALS),
    "cifar10, 100 and 10 a class": Task("cifar10", 100, rare=10),
    "five animals at 64 px, 80 a class": Task("cifar10", 80, _ANIMALS, side_px=64),
    "horse, ship or truck, 20 a class": Task("cifar10", 20, _UNKNOWN, weights="RUN"),
    "horse, ship or truck, 100 a class": Task("cifar10", 100, _UNKNOWN, weights="RUN"),
    "fashion-mnist, 20 a class": Task("fashion-mnist", 20, weights="cifar10"),
    "fashion-mnist, 100 a class": Task("fashion-mnist", 100, weights="cifar10"),
    "shapes, 20 a class": Task("shapes", 20, weights="cifar10"),
    "shapes, 100 a class": Task("shapes", 100, weights="cifar10"),
}


def build_task(task: Task, source: Dataset, seed: int) -> Dataset:
    """Draw the task's training images by the seed; the test images are the first ones of its classes."""
    classes = task.classes or tuple(range(len(source.classes)))
    generator = torch.Generator().manual_seed(seed)
    chosen, tested = [], []
    for place, label in enumerate(classes):
        members = (source.train.labels == label).nonzero().flatten()
        count = task.per_class // (task.rare if place % 2 else 1)
        chosen.append(members[torch.randperm(len(members), generator=generator)[:count]])
        tested.append((source.test.labels == label).nonzero().flatten()[: _MOST_TEST_IMAGES // len(classes)])
    splits = {
        "train": take(source.train, torch.cat(chosen), classes, task.side_px),
        "test": take(source.test, torch.cat(tested), classes, task.side_px),
    }
    return Dataset(f"{task.source}-few", splits, splits["train"].classes)


def take(split: ImageSplit, positions: Tensor, classes: tuple[int, ...], side_px: int | None) -> ImageSplit:
    """Take images of some classes, and enlarge them."""
    part = split.subset(positions)
    places = torch.zeros(len(split.classes), dtype=torch.int64)
    places[list(classes)] = torch.arange(len(classes))
    images = part.images
    if side_px:
        images = F.interpolate(images.float(), (side_px, side_px), mode="bilinear", align_corners=False)
    return replace(
        part,
        images=images.round().to(torch.uint8) if side_px else images,
        labels=places[part.labels],
        classes=tuple(split.classes[label] for label in classes),
    )


def score_pixels(data: Dataset, make: Callable[[float], object], strengths: tuple[float, ...]) -> float:
    """Test accuracy of a classifier of standardized pixels, the best of several strengths of regularization."""
    pixels = {name: split.images.flatten(1).float().numpy() for name, split in data.splits.items()}
    models = [make_pipeline(StandardScaler(), make(strength)) for strength in strengths]
    scores: list[float] = [
        model.fit(pixels["train"], data.train.labels.numpy()).score(pixels["test"], data.test.labels.numpy())
        for model in models
    ]
    return max(scores)


def score_neighbours(data: Dataset, weights: str) -> float:
    """Test accuracy of nearest neighbours by cosine similarity of pretrained features, the best of three numbers."""
    model = load(weights)
    features = {name: embed(model, split) for name, split in data.splits.items()}
    scores: list[float] = [
        KNeighborsClassifier(k, metric="cosine")
        .fit(features["train"], data.train.labels.numpy())
        .score(features["test"], data.test.labels.numpy())
        for k in (1, 5, 15)
    ]
    return max(scores)


def embed(model: TrainedModel, split: ImageSplit) -> NDArray[np.float32]:
    """Compute the embeddings of a split's images, gray ones with three equal channels."""
    images = split.images.expand(-1, model.channels, -1, -1).contiguous()
    embeddings = model.predict(images).embeddings
    assert embeddings is not None
    return embeddings.float().numpy()


def score_default(data: Dataset, words: str, seed: int, weights: str | None) -> tuple[float, float]:
    """Test accuracy of the default training, and its seconds."""
    path = Path("runs/bench/small") / words.replace(" ", "-").replace(",", "")
    if not (path / "training.json").is_file():
        init = "auto" if weights == "cifar10" else weights
        train(data, {"seed": seed}, init=init, out=path)
    record = read_json(path / "training.json")
    return record["test_accuracy"], record["seconds_training"]


def write(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print a line per task: mean test accuracy over the seeds of the other classifiers and of the default."""
    warnings.filterwarnings("ignore", category=UserWarning)
    words = [word for word in sys.argv[1:] if not word.startswith("weights=")]
    own = next((word.removeprefix("weights=") for word in sys.argv[1:] if word.startswith("weights=")), None)
    cifar10, seeds, *names = (*words, *("cifar10", "0,1,2")[len(words) :])
    sources: dict[str, Dataset] = {}
    write("| task | n | test images | logistic regression, % | RBF-SVM, % | neighbours, % | default, % | seconds |")
    write("|---|---|---|---|---|---|---|---|")
    for name in names or TASKS:
        task, rows = TASKS[name], []
        weights = own if task.weights == "RUN" else task.weights
        if weights is None and task.weights is not None:
            write(f"| {name} | needs weights=RUN |")
            continue
        source = sources.setdefault(task.source, load_dataset(cifar10 if task.source == "cifar10" else task.source))
        for seed in map(int, seeds.split(",")):
            data = build_task(task, source, seed)
            linear = score_pixels(data, lambda c: LogisticRegression(C=c, max_iter=300), (1e-4, 1e-3, 1e-2))
            svm = score_pixels(data, lambda c: SVC(C=c), (1, 10))
            near = math.nan if weights is None else score_neighbours(data, weights)
            rows.append((linear, svm, near, *score_default(data, f"{name}-seed{seed}", seed, weights)))
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        least = min(row[3] - max(row[:2]) for row in rows)
        near_text = "" if math.isnan(means[2]) else f"{means[2]:.1%}"
        write(
            f"| {name} | {len(data.train):,} | {len(data.test):,} | {means[0]:.1%} | {means[1]:.1%} | {near_text} "
            f"| {means[3]:.1%} ({least:+.1%} at least over pixels) | {means[4]:.0f} |"
        )


if __name__ == "__main__":
    main()
