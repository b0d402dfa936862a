"""Measure the marks of unusual pictures: train on seven classes of CIFAR-10, show the others and noise.

.venv/bin/python bench/novelty.py [DATASET] [SEED] [RECIPE]

Beside the distance that `visionlib predict` uses stand two scores of the logits. For each: the part that is marked
where 1 % of the held-out images are, and the area under the ROC curve against the test images of the seven classes.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from visionlib import ImageSplit, load, load_dataset, recipe_config, train
from visionlib.data import Dataset
from visionlib.data.holdout import hold_out
from visionlib.data.shapes import load_shapes
from visionlib.evaluation.intervals import wilson_interval
from visionlib.inference.novelty import FALSE_ALARMS, Novelty, draw_sample
from visionlib.inference.prediction import Predictions

KNOWN = 7


def keep_known(split: ImageSplit) -> ImageSplit:
    """Take the images of the first classes alone."""
    part = split.subset((split.labels < KNOWN).nonzero().flatten())
    return replace(part, classes=split.classes[:KNOWN])


def scores(predictions: Predictions, novelty: Novelty) -> dict[str, Tensor]:
    """Return scores of each image, larger for stranger ones."""
    assert predictions.embeddings is not None
    return {
        "distance to 5 nearest": novelty.distances(predictions.embeddings),
        "1 - largest probability": 1 - predictions.probabilities.amax(1),
        "energy": -predictions.logits.logsumexp(1),
    }


def main() -> None:
    """Train, and print a table."""
    given = sys.argv[1:]
    path, seed, recipe = (*given, *("../shared/data/cifar10-jpeg", "0", "sprint")[len(given) :])
    source = load_dataset(path)
    splits = {"train": keep_known(source.train), "test": keep_known(source.test)}
    known = Dataset("cifar10, seven classes", splits, source.classes[:KNOWN])
    out = Path(f"runs/bench/novelty-{recipe}-{seed}")
    config = recipe_config(recipe, seed=int(seed), validation_fraction=0.04)
    if not (out / "training.json").is_file():
        train(known, config, out=out, log=print)
    model = load(out)
    assert model.novelty is not None
    learned, held_out = hold_out(known.train, config.validation_fraction, config.seed)
    noise = torch.randint(0, 256, (1000, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    sets = {
        "held out": held_out.images,
        "seven classes, test": known.test.images,
        "three other classes, test": source.test.images[source.test.labels >= KNOWN],
        "noise": noise,
        "shapes": load_shapes(n_train=1, n_test=1000, image_size=32).test.images,
        "black": torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
    }
    found = {name: scores(model.predict(images), model.novelty) for name, images in sets.items()}
    print(f"{out}: {len(model.novelty.embeddings):,} of {len(learned):,} training images kept")  # noqa: T201
    assert len(draw_sample(len(learned), config.seed)) == len(model.novelty.embeddings)
    for score in found["held out"]:
        threshold = torch.quantile(found["held out"][score].double(), 1 - FALSE_ALARMS)
        for name, values in found.items():
            marked, n = int((values[score] > threshold).sum()), len(values[score])
            low, high = wilson_interval(marked, n)
            ordinary = found["seven classes, test"][score]
            labels = [0] * len(ordinary) + [1] * n
            area = roc_auc_score(labels, torch.cat([ordinary, values[score]]).tolist())
            words = f"{marked / n:7.2%} ({low:.2%} to {high:.2%}) of {n:,}; area {area:.3f}"
            print(f"{score:24} {name:26} {words}")  # noqa: T201


if __name__ == "__main__":
    main()
