"""Compare accuracies after buying labels: for pictures that `choose_to_label` chooses, and for others.

.venv/bin/python bench/label_next.py heads [SEEDS]             # a linear classifier of pretrained features
.venv/bin/python bench/label_next.py networks CIFAR10 [SEEDS]  # whole trainings

    .venv/bin/python bench/label_next.py heads
    .venv/bin/python bench/label_next.py networks ../shared/data/cifar10-jpeg

A pool of 4,000 images has labels that are not looked at. A few random ones are labelled first, the same for every way
to choose. Then a round trains on what is labelled, chooses as many images of the pool, and labels these. The tables
give the test accuracy after each round, mean of the seeds; and the difference from random choice at equal numbers of
labels, the mean over rounds of each seed, with the interval of its mean over seeds by Student's t.

Heads: features of the weights `cifar10`, which know neither `shapes` nor Fashion-MNIST, and multinomial logistic
regression. Networks: `fast` with short trainings, on CIFAR-10 from random weights, and on Fashion-MNIST from `cifar10`.
"""

import dataclasses
import math
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from visionlib import load, load_dataset, train
from visionlib.data import Dataset, ImageSplit, load_shapes
from visionlib.inference import Predictions
from visionlib.inspection import choose_to_label
from visionlib.inspection.batch_choice import choose_batch
from visionlib.inspection.choose_to_label import CANDIDATES_PER_CHOICE
from visionlib.inspection.copies import CopyFinder
from visionlib.inspection.unsure_pictures import Candidates, UnsurePictures
from visionlib.training.recipes import RECIPES

_POOL, _TESTED = 4_000, 2_000
_RARE, _COPIES = 40, 4
"""Images of each second class in the pool with rare classes, and of each image in the pool of copies."""
_CONFIG = RECIPES["fast"].replace(
    epochs=12, batch_size=64, crop_px=2, resolutions=(0.5,), validation_fraction=0.0, threads=1, checkpoint_s=0
)
NETWORKS = (("fashion-mnist", "cifar10", 100), ("cifar10", None, 500))
"""Data set, weights to begin with, and number of first labels and of those of each round."""
_ROUNDS = 2
Chooser = Callable[[Predictions, Tensor, int, int], Tensor]
"""Chooses positions by predictions, images, count and seed."""


def choose_by_library(predictions: Predictions, images: Tensor, count: int, seed: int) -> Tensor:
    """Choose as `choose_to_label` does after its predictions."""
    unsure = UnsurePictures(CANDIDATES_PER_CHOICE * count)
    for start in range(0, len(images), 250):
        rows = slice(start, start + 250)
        part = Predictions(predictions.logits[rows], predictions.embeddings[rows])
        unsure.add(Candidates.from_predictions(start, part, images[rows]))
    copies = CopyFinder(unsure.kept.images)
    choice = choose_batch(unsure.kept.embeddings, unsure.kept.uncertainty, count, seed=seed, is_copy=copies.is_copy)
    return unsure.kept.index[torch.tensor(choice.positions)]


def choose_at_random(predictions: Predictions, images: Tensor, count: int, seed: int) -> Tensor:
    """Draw by seed."""
    return torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]


def choose_unsure(predictions: Predictions, images: Tensor, count: int, seed: int) -> Tensor:
    """Choose the smallest differences of the two largest probabilities."""
    values = predictions.logits.double().softmax(1).topk(2).values
    return (values[:, 0] - values[:, 1]).argsort()[:count]


def choose_entropy(predictions: Predictions, images: Tensor, count: int, seed: int) -> Tensor:
    """Choose the largest entropies."""
    logs = predictions.logits.double().log_softmax(1)
    return (logs.exp() * logs).sum(1).argsort()[:count]


def choose_clusters(predictions: Predictions, images: Tensor, count: int, seed: int) -> Tensor:
    """Choose the centre of each cluster of all images, whatever the uncertainty."""
    embeddings = predictions.embeddings.float()
    weights = torch.ones(len(embeddings), dtype=torch.float64)
    return torch.tensor(choose_batch(embeddings, weights, count, seed=seed).positions)


def choose_gradients(predictions: Predictions, images: Tensor, count: int, seed: int) -> Tensor:
    """BADGE, Ash et al. 2020, arXiv:1906.03671: k-means++ of the last layer's gradients, without forming these."""
    generator = torch.Generator().manual_seed(seed)
    features = predictions.embeddings.double()
    errors = predictions.logits.double().softmax(1)
    errors -= F.one_hot(errors.argmax(1), errors.shape[1])
    norms = errors.square().sum(1) * features.square().sum(1)
    chosen = [int(norms.argmax())]
    distances = torch.full_like(norms, torch.inf)
    while len(chosen) < count:
        last = chosen[-1]
        products = (errors @ errors[last]) * (features @ features[last])
        distances = distances.minimum((norms + norms[last] - 2 * products).clamp(min=0))
        distances[chosen] = 0
        chosen.append(int(torch.multinomial(distances.clamp(min=1e-30), 1, generator=generator)))
    return torch.tensor(chosen)


SETTINGS = {
    "fashion-mnist": [("all", 50, 50), ("rare classes", 50, 50), ("four copies", 50, 50), ("all", 20, 20)],
    "shapes": [("all", 50, 50)],
}
"""Pool, first labels, and labels of each round."""
CHOOSERS: dict[str, Chooser] = {
    "random": choose_at_random,
    "`label-next`": choose_by_library,
    "smallest margin": choose_unsure,
    "largest entropy": choose_entropy,
    "BADGE": choose_gradients,
    "clusters without weights": choose_clusters,
}


def fit_head(split: ImageSplit, features: Tensor, labelled: Tensor) -> Callable[[Tensor], Tensor]:
    """Fit a linear classifier of standardized features; return what computes its logits."""
    part = features[labelled]
    mean, scale = part.mean(0), part.std(0).clamp(min=1e-3) * math.sqrt(features.shape[1]) / 4
    known = split.labels[labelled]
    model = LogisticRegression(max_iter=200).fit(((part - mean) / scale).numpy(), known.numpy())
    classes = torch.from_numpy(model.classes_)

    def compute(rows: Tensor) -> Tensor:
        logits = torch.full((len(rows), len(split.classes)), -30.0)
        values = torch.from_numpy(model.decision_function(((rows - mean) / scale).numpy())).float()
        logits[:, classes] = values if values.ndim == 2 else torch.stack([-values, values], 1) / 2
        return logits

    return compute


def draw_pool(split: ImageSplit, kind: str, seed: int) -> Tensor:
    """Return positions of the pool's images, in the order in which the first are labelled."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    if kind == "rare classes":
        order = torch.cat(
            [order[split.labels[order] == label][: _RARE if label % 2 == 0 else None] for label in range(10)]
        )
    if kind == "four copies":
        order = order[: len(order) // _COPIES].repeat(_COPIES)
    return order[torch.randperm(len(order), generator=torch.Generator().manual_seed(seed))]


def measure_heads(seeds: list[int]) -> None:
    """Print a table for each pool."""
    model = load("cifar10")
    for name in ("fashion-mnist", "shapes"):
        data = load_shapes(n_train=_POOL, n_test=_TESTED) if name == "shapes" else load_dataset(name)
        splits = {
            "train": as_colour(data.train.subset(torch.arange(_POOL))),
            "test": as_colour(data.test.subset(torch.arange(_TESTED))),
        }
        features = {key: model.predict(split.images).embeddings.float() for key, split in splits.items()}
        for kind, start, count in SETTINGS[name]:
            scores = {
                title: [buy(splits, features, kind, seed, start, count, chooser) for seed in seeds]
                for title, chooser in CHOOSERS.items()
            }
            write(f"\n{name}, {kind}, {start} labels, then {count} at a time\n")
            tabulate(scores, start, count)


def buy(
    splits: dict[str, ImageSplit],
    features: dict[str, Tensor],
    kind: str,
    seed: int,
    start: int,
    count: int,
    chooser: Chooser,
    rounds: int = 3,
) -> list[float]:
    """Return the test accuracy with the first labels and after each round."""
    pool = draw_pool(splits["train"], kind, seed)
    is_labelled = torch.arange(len(pool)) < start
    scores = []
    for number in range(rounds + 1):
        head = fit_head(splits["train"], features["train"], pool[is_labelled])
        found = head(features["test"]).argmax(1) == splits["test"].labels
        scores.append(float(found.double().mean()))
        left = (~is_labelled).nonzero().flatten()
        known = features["train"][pool[left]]
        chosen = chooser(
            Predictions(head(known), known.half()), splits["train"].images[pool[left]], count, 1000 * seed + number
        )
        is_labelled[left[chosen]] = True
    return scores


def as_colour(split: ImageSplit) -> ImageSplit:
    """Enlarge images to 32 pixels, and repeat the channel of gray ones."""
    images = F.interpolate(split.images.float(), (32, 32), mode="bilinear", align_corners=False)
    return dataclasses.replace(split, images=images.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous())


def measure_networks(cifar10: str, seeds: list[int]) -> None:
    """Print a table for each data set."""
    for name, init, start in NETWORKS:
        source = load_dataset(cifar10 if name == "cifar10" else name)
        pool = as_colour(source.train.subset(torch.arange(_POOL)))
        test = as_colour(source.test.subset(torch.arange(_TESTED)))
        scores: dict[str, list[list[float]]] = {"random": [], "`label-next`": []}
        for seed in seeds:
            order = torch.randperm(_POOL, generator=torch.Generator().manual_seed(seed))
            first: tuple[float, Tensor] | None = None
            for title, column in scores.items():
                values, labelled = [], order[:start]
                for number in range(_ROUNDS + 1):
                    if number or first is None:
                        score, chosen = train_and_choose(
                            pool, test, labelled, init, seed, start, is_last=number == _ROUNDS
                        )
                        first = first or (score, chosen)
                    else:
                        score, chosen = first
                    values.append(score)
                    is_random = title == "random"
                    labelled = order[: start * (number + 2)] if is_random else torch.cat([labelled, chosen])
                column.append(values)
                write(f"{name} seed {seed} {title}: " + ", ".join(f"{value:.4f}" for value in values))
        write(f"\n{name}, {start} labels, then {start} at a time\n")
        tabulate(scores, start, start)


def train_and_choose(
    pool: ImageSplit, test: ImageSplit, labelled: Tensor, init: str | None, seed: int, count: int, *, is_last: bool
) -> tuple[float, Tensor]:
    """Train on labelled images of the pool; return the test accuracy and what to label next."""
    left = torch.ones(len(pool), dtype=torch.bool).index_fill(0, labelled, False).nonzero().flatten()
    data = Dataset("pool", {"train": pool.subset(labelled), "test": test}, pool.classes)
    with tempfile.TemporaryDirectory() as folder:
        model = load(train(data, _CONFIG.replace(seed=seed), init=init, out=Path(folder) / "run"))
    score = float((model.predict(test.images).logits.argmax(1) == test.labels).double().mean())
    if is_last:
        return score, left[:0]
    chosen = choose_to_label(model, pool.images[left], count, seed=seed)
    return score, left[torch.tensor([one.index for one in chosen.pictures])]


def tabulate(scores: dict[str, list[list[float]]], start: int, count: int) -> None:
    """Print a row for each way to choose."""
    rounds = len(scores["random"][0])
    write(
        "| choice | " + " | ".join(f"{start + number * count}" for number in range(rounds)) + " | gain, 95 % interval |"
    )
    write("|---|" + "---|" * (rounds + 1))
    for title, rows in scores.items():
        means = [f"{100 * statistics.mean(column):.1f}" for column in zip(*rows, strict=True)]
        gains = [
            100 * (statistics.mean(row[1:]) - statistics.mean(other[1:]))
            for row, other in zip(rows, scores["random"], strict=True)
        ]
        cell = ""
        if title != "random" and len(gains) > 1:
            half = student.ppf(0.975, len(gains) - 1) * statistics.stdev(gains) / math.sqrt(len(gains))
            mean = statistics.mean(gains)
            cell = f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"
        write(f"| {title} | " + " | ".join(means) + f" | {cell} |")


def write(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure heads or networks."""
    task, *words = sys.argv[1:]
    if task == "heads":
        measure_heads([int(seed) for seed in (words or ["0,1,2,3,4"])[0].split(",")])
    else:
        measure_networks(words[0], [int(seed) for seed in (words[1:] or ["0,1,2,3,4"])[0].split(",")])


if __name__ == "__main__":
    main()
