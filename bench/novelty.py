"""Measure the marks of unusual pictures: train on seven classes of CIFAR-10, show the others, noise and drawings.

.venv/bin/python bench/novelty.py [DATASET] [SEED] [RECIPE]

Beside the energy that `visionlib predict` uses stand two other scores. For each: the part that is marked where 5 % of
the held-out images are, and the area under the ROC curve against the test images of the seven classes.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor

from visionlib import ImageSplit, load, load_dataset, recipe_config, train
from visionlib.data import Dataset
from visionlib.data.holdout import hold_out
from visionlib.data.shapes import load_shapes
from visionlib.evaluation.intervals import wilson_interval
from visionlib.inference.novelty import FALSE_ALARMS, energy
from visionlib.inference.prediction import Predictions

KNOWN, SAMPLE, NEIGHBOURS = 7, 4000, 5
"""Classes to train on; training images to which distances are measured; the nearest of them that count."""


def keep_known(split: ImageSplit) -> ImageSplit:
    """Take the images of the first classes alone."""
    part = split.subset((split.labels < KNOWN).nonzero().flatten())
    return replace(part, classes=split.classes[:KNOWN])


def scores(predictions: Predictions, trained: Predictions) -> dict[str, Tensor]:
    """Return scores of each image, larger for stranger ones."""
    assert predictions.embeddings is not None
    assert trained.embeddings is not None
    own, reference = (F.normalize(found.embeddings.float(), dim=1) for found in (predictions, trained))
    nearest = torch.cat([(chunk @ reference.T).topk(NEIGHBOURS, dim=1).values.mean(1) for chunk in own.split(1000)])
    return {
        "energy (used)": energy(predictions.logits),
        "1 - largest probability": 1 - predictions.probabilities.amax(1),
        f"distance to {NEIGHBOURS} nearest": 1 - nearest,
    }


def main() -> None:
    """Train, and print a table."""
    given = sys.argv[1:]
    path, seed, recipe = (*given, *("../shared/data/cifar10-jpeg", "0", "fast")[len(given) :])
    source = load_dataset(path)
    splits = {"train": keep_known(source.train), "test": keep_known(source.test)}
    known = Dataset("cifar10, seven classes", splits, source.classes[:KNOWN])
    out = Path(f"runs/bench/novelty-{recipe}-{seed}")
    config = recipe_config(recipe, seed=int(seed), validation_fraction=0.04)
    if not (out / "training.json").is_file():
        train(known, config, out=out, log=print)
    model = load(out)
    learned, held_out = hold_out(known.train, config.validation_fraction, config.seed)
    draw = torch.Generator().manual_seed(1)
    trained = model.predict(learned.images[torch.randperm(len(learned), generator=draw)[:SAMPLE]])
    sets = {
        "held out": held_out.images,
        "seven classes, test": known.test.images,
        "three other classes, test": source.test.images[source.test.labels >= KNOWN],
        "noise": torch.randint(0, 256, (1000, 3, 32, 32), generator=draw, dtype=torch.uint8),
        "shapes": load_shapes(n_train=1, n_test=1000, image_size=32).test.images,
        "one color": torch.randint(0, 256, (500, 3, 1, 1), generator=draw, dtype=torch.uint8).expand(-1, -1, 32, 32),
    }
    found = {name: scores(model.predict(images.contiguous()), trained) for name, images in sets.items()}
    print(f"{out}: threshold of {FALSE_ALARMS:.0%} on {len(held_out):,} images, torch {torch.__version__}")  # noqa: T201
    for score in found["held out"]:
        threshold = torch.quantile(found["held out"][score].double(), 1 - FALSE_ALARMS)
        ordinary = found["seven classes, test"][score]
        for name, values in found.items():
            marked, n = int((values[score] > threshold).sum()), len(values[score])
            low, high = wilson_interval(marked, n) or (0.0, 1.0)
            area = roc_auc_score([0] * len(ordinary) + [1] * n, torch.cat([ordinary, values[score]]).tolist())
            words = f"{marked / n:7.2%} ({low:.2%} to {high:.2%}) of {n:,}; area {area:.3f}"
            print(f"{score:24} {name:26} {words}")  # noqa: T201


if __name__ == "__main__":
    main()
