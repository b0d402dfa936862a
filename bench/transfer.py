"""Pretrain on seven classes, fine-tune on the other three with few images, and compare ways to begin.

.venv/bin/python bench/transfer.py DATASET [FOLDER] [SETTING=VALUE...]

    .venv/bin/python bench/transfer.py ../shared/data/cifar10-jpeg /tmp/transfer epochs=2 resolutions=[0.5,0.75]

The settings are those of the pretraining, over the recipe `fast`. Its run stays in FOLDER, `runs/bench/transfer` by
default, and is not trained again. The three classes, and the images of each seed, are drawn by seed.
"""

import dataclasses
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from recipe import log, read_setting

from visionlib import load_dataset, recipe_config, train
from visionlib.data import Dataset, ImageSplit
from visionlib.evaluation.intervals import wilson_interval
from visionlib.runs import Run, read_json
from visionlib.training import TrainConfig

HELD_OUT, SEEDS, SIZES, TESTED = 3, (0, 1, 2), (20, 50, 200), 300
"""Classes to fine-tune on, seeds of the images and heads, training images per class, and test images per class."""
TUNED = TrainConfig(
    model="cnn8", epochs=20, batch_size=30, resolutions=(0.75,), peak_learning_rate=0.05, optimizer="sgd",
    label_smoothing=0.05, crop_px=2, checkpoint_s=0.0, threads=1,
)  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "from scratch, `TUNED`": {},
    "from scratch, muon as in `fast`": {"optimizer": "muon", "peak_learning_rate": 0.4, "norm_bias_factor": 16.0},
    "init, all layers": {"init": True},
    "init, body at a tenth": {"init": True, "body_rate_factor": 0.1},
    "init, head alone": {"init": True, "freeze": True},
}


def take_classes(
    split: ImageSplit, names: tuple[str, ...], *, per_class: int | None = None, seed: int = 0
) -> ImageSplit:
    """Take the images of some classes, all of them or a number drawn by seed, with the labels renumbered."""
    generator = torch.Generator().manual_seed(seed)
    positions = []
    for name in names:
        members = (split.labels == split.classes.index(name)).nonzero()[:, 0]
        order = torch.randperm(len(members), generator=generator)
        positions.append(members[order[:per_class].sort().values])
    chosen = split.subset(torch.cat(positions))
    labels = torch.cat([torch.full((len(members),), at) for at, members in enumerate(positions)])
    return dataclasses.replace(chosen, labels=labels, classes=names)


def pretrain(data: Dataset, names: tuple[str, ...], folder: Path, changes: dict[str, Any]) -> Run:
    """Train on the images of some classes, unless the run is there already."""
    if not (folder / "training.json").is_file():
        splits = {name: take_classes(split, names) for name, split in data.splits.items()}
        train(Dataset("seven classes", splits, names), recipe_config("fast", **changes), out=folder, log=log)
    return Run(folder)


def tune(data: Dataset, earlier: Run, per_class: int, seed: int, way: dict[str, Any]) -> float:
    """Train on a few images, and return the accuracy on the test images."""
    names = data.classes
    splits = {"train": take_classes(data.train, names, per_class=per_class, seed=seed), "test": data.test}
    settings = {name: value for name, value in way.items() if name != "init"}
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            Dataset("three classes", splits, names),
            TUNED.replace(seed=seed, **settings),
            init=earlier if way.get("init") else None,
            out=Path(folder) / "run",
        )
        return float(read_json(run.training)["test_accuracy"])


def main() -> None:
    """Pretrain, fine-tune in every way, and print the table."""
    words = [word for word in sys.argv[1:] if "=" not in word]
    changes = {name: read_setting(name, text) for name, _, text in (w.partition("=") for w in sys.argv[1:] if "=" in w)}
    data = load_dataset(words[0])
    folder = Path(words[1] if len(words) > 1 else "runs/bench/transfer") / "pretrained"
    order = torch.randperm(len(data.classes), generator=torch.Generator().manual_seed(0)).tolist()
    others, names = (tuple(data.classes[at] for at in sorted(part)) for part in (order[HELD_OUT:], order[:HELD_OUT]))
    earlier = pretrain(data, others, folder, changes)
    training = read_json(earlier.training)
    log(f"pretrained on {', '.join(others)}: test accuracy {training['test_accuracy']:.2%}; torch {torch.__version__}")
    tested = take_classes(data.test, names, per_class=TESTED)
    three = Dataset("three classes", {"train": take_classes(data.train, names), "test": tested}, names)
    log(f"fine-tuned on {', '.join(names)}, n = {len(tested)} test images, seeds {SEEDS}")
    log("| images per class | " + " | ".join(WAYS) + " |\n|" + "---|" * (len(WAYS) + 1))
    for per_class in SIZES:
        cells = []
        for name, way in WAYS.items():
            scores = [tune(three, earlier, per_class, seed, way) for seed in SEEDS]
            log(f"{per_class} {name}: {', '.join(f'{score:.4f}' for score in scores)}")
            cells.append(describe(scores, len(tested)))
        log(f"| {per_class} | " + " | ".join(cells) + " |")


def describe(scores: list[float], n: int) -> str:
    """Write the mean accuracy, its std over seeds, and the interval of the first seed, in percent."""
    low, high = wilson_interval(round(scores[0] * n), n) or (0.0, 1.0)
    spread = f" ± {100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{100 * statistics.mean(scores):.1f}{spread} ({100 * low:.0f} - {100 * high:.0f})"


if __name__ == "__main__":
    main()
