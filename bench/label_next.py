"""Compare accuracies after buying labels: for pictures that `choose_to_label` chooses, and for others.

.venv/bin/python bench/label_next.py heads SEEDS [SETTING...]           # a linear classifier of pretrained features
.venv/bin/python bench/label_next.py networks SEEDS [NAME|cifar10=PATH]  # whole trainings

    .venv/bin/python bench/label_next.py heads 0,1,2,3,4
    .venv/bin/python bench/label_next.py networks 0,1,2,3,4 fashion-mnist

A pool of 4,000 images, for networks 2,000, has labels that are not looked at. A few random ones are labelled first, the
same for every way to choose. Then a round trains on what is labelled, chooses as many images of the pool, and labels
these. The tables give the test accuracy after each round, mean of the seeds; and the difference from random choice at
equal numbers of labels, the mean over rounds of each seed, with the interval of its mean over seeds by Student's t.

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
from visionlib.runs import read_json
from visionlib.training.recipes import RECIPES

_POOL, _TESTED = 4_000, 2_000
_RARE, _COPIES = 40, 4
"""Images of each second class in the pool with rare classes, and of each image in the pool of copies."""
_CONFIG = RECIPES["fast"].replace(
    epochs=12, batch_size=64, crop_px=2, resolutions=(0.5,), validation_fraction=0.0, threads=1, checkpoint_s=0
)
NETWORKS: dict[str, tuple[str | None, int]] = {"fashion-mnist": ("cifar10", 100), "cifar10": (None, 400)}
"""Weights to begin with, and number of first labels and of those of each round."""
_NETWORK_POOL, _NETWORK_TESTED, _NETWORK_ROUNDS = 2_000, 1_000, 1
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
    "fashion-mnist": ("fashion-mnist", "all", 50),
    "rare": ("fashion-mnist", "rare classes", 50),
    "copies": ("fashion-mnist", "four copies", 50),
    "few": ("fashion-mnist", "all", 20),
    "shapes": ("shapes", "all", 50),
}
"""Data set, pool, and number of first labels and of those of each round."""
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


def measure_heads(seeds: list[int], names: list[str]) -> None:
    """Print a table for each setting."""
    model = load("cifar10")
    for source, kind, count in [SETTINGS[name] for name in names or SETTINGS]:
        splits = load_splits(source, _POOL, _TESTED)
        features = {key: model.predict(split.images).embeddings.float() for key, split in splits.items()}
        scores = {
            title: [buy(splits, features, kind, seed, count, chooser) for seed in seeds]
            for title, chooser in CHOOSERS.items()
        }
        write(f"\n{source}, {kind}, {count} labels, then {count} at a time\n")
        tabulate(scores, count)


def load_splits(name: str, pool: int, tested: int) -> dict[str, ImageSplit]:
    """Load the first training and test images of a data set as colour images of 32 pixels."""
    data = load_shapes(n_train=pool, n_test=tested) if name == "shapes" else load_dataset(name)
    return {
        "train": as_colour(data.train.subset(torch.arange(pool))),
        "test": as_colour(data.test.subset(torch.arange(tested))),
    }


def buy(
    splits: dict[str, ImageSplit],
    features: dict[str, Tensor],
    kind: str,
    seed: int,
    count: int,
    chooser: Chooser,
    rounds: int = 3,
) -> list[float]:
    """Return the test accuracy with the first labels and after each round."""
    pool = draw_pool(splits["train"], kind, seed)
    is_labelled = torch.arange(len(pool)) < count
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


def measure_networks(seeds: list[int], names: list[str]) -> None:
    """Print a table for each data set."""
    for name in names or ["fashion-mnist"]:
        init, count = NETWORKS[name.partition("=")[0]]
        splits = load_splits(name.partition("=")[2] or name, _NETWORK_POOL, _NETWORK_TESTED)
        scores: dict[str, list[list[float]]] = {"random": [], "`label-next`": []}
        for seed in seeds:
            order = torch.randperm(_NETWORK_POOL, generator=torch.Generator().manual_seed(seed))
            first = train_and_choose(splits, order[:count], init, seed, count)
            for title, column in scores.items():
                (score, chosen), labelled, values = first, order[:count], [first[0]]
                for number in range(_NETWORK_ROUNDS):
                    drawn = order[count * (number + 1) : count * (number + 2)]
                    labelled = torch.cat([labelled, drawn if title == "random" else chosen])
                    is_last = number == _NETWORK_ROUNDS - 1
                    score, chosen = train_and_choose(splits, labelled, init, seed, 0 if is_last else count)
                    values.append(score)
                column.append(values)
                write(f"{name} seed {seed} {title}: " + ", ".join(f"{value:.4f}" for value in values))
        write(f"\n{name}, {count} labels, then {count} at a time\n")
        tabulate(scores, count)


def train_and_choose(
    splits: dict[str, ImageSplit], labelled: Tensor, init: str | None, seed: int, count: int
) -> tuple[float, Tensor]:
    """Train on labelled images of the pool; return the test accuracy and what to label next."""
    pool, test = splits["train"], splits["test"]
    data = Dataset("pool", {"train": pool.subset(labelled), "test": test}, pool.classes)
    with tempfile.TemporaryDirectory() as folder:
        run = train(data, _CONFIG.replace(seed=seed), init=init, out=Path(folder) / "run")
        score, model = float(read_json(run.training)["test_accuracy"]), load(run)
    if not count:
        return score, labelled[:0]
    left = torch.ones(len(pool), dtype=torch.bool).index_fill(0, labelled, False).nonzero().flatten()
    chosen = choose_to_label(model, pool.images[left], count, seed=seed)
    return score, left[torch.tensor([one.index for one in chosen.pictures])]


def tabulate(scores: dict[str, list[list[float]]], count: int) -> None:
    """Print a row for each way to choose."""
    rounds = len(scores["random"][0])
    write(
        "| choice | " + " | ".join(f"{(number + 1) * count}" for number in range(rounds)) + " | gain, 95 % interval |"
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
    task, seeds, *words = (*sys.argv[1:3], *sys.argv[3:])
    numbers = [int(seed) for seed in seeds.split(",")]
    if task == "heads":
        measure_heads(numbers, words)
    else:
        measure_networks(numbers, words)


if __name__ == "__main__":
    main()
