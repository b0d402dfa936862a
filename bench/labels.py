"""Measure what wrong labels cost, what leaving out the label candidates gains, and how well a finder finds them.

.venv/bin/python bench/labels.py train SET [SEEDS]     # accuracy of five recipes, compared over seeds
.venv/bin/python bench/labels.py find SET [SEEDS]      # precision and recall of finders, on the same runs

    .venv/bin/python bench/labels.py train shapes 0,1,2,3,4
    .venv/bin/python bench/labels.py find cifar10=../shared/data/cifar10-jpeg 0,1,2

SET is shapes, fashion-mnist, or cifar10=PATH: 2,000 training images, of which 2 % get another class, the same for all
seeds. Every seed finds its own candidates, by three folds of its own training. All other recipes train with that seed:

- all: on all images, wrong labels included;
- candidates: without the candidates of the seed;
- random: without as many images, drawn by the seed;
- first: without the 40 most doubtful candidates, as many as there are wrong labels;
- random-first: without 40 images, drawn by the seed.

Runs stay in runs/bench/labels/; one that is there already is not trained again.
"""

import dataclasses
import statistics
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from visionlib import compare_recipes, load_dataset, train
from visionlib.data import Dataset, ImageSplit, load_shapes
from visionlib.data.corrections import Corrections
from visionlib.inspection import OutOfSample, cross_validate, embed_split, find_candidates
from visionlib.inspection.nearest import find_nearest
from visionlib.runs import Run, open_run
from visionlib.training.recipes import RECIPES

_N_TRAIN, _N_TEST, _WRONG = 2_000, 2_000, 0.02
_CONFIG = RECIPES["fast"].replace(
    epochs=6, batch_size=64, crop_px=2, resolutions=(0.5,), validation_fraction=0.0, threads=1, checkpoint_s=0
)
_FOLDS, _NEIGHBOURS = 3, 10
_FOLDER = Path("runs/bench/labels")


def load_set(name: str) -> Dataset:
    """Load a set and take its first training images."""
    if name == "shapes":
        return load_shapes(n_train=_N_TRAIN, n_test=_N_TEST)
    source = load_dataset(name.partition("=")[2] or name)
    return dataclasses.replace(
        source,
        splits={
            "train": source.train.subset(torch.arange(_N_TRAIN)),
            "test": source.test.subset(torch.arange(_N_TEST)),
        },
        options={},
    )


def plant(split: ImageSplit) -> tuple[ImageSplit, set[int]]:
    """Give some images another class, each of the others equally often; return the split and their ids."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(split), generator=generator)[: round(_WRONG * len(split))]
    k = len(split.classes)
    labels = split.labels.clone()
    labels[chosen] = (labels[chosen] + torch.randint(1, k, (len(chosen),), generator=generator)) % k
    return dataclasses.replace(split, labels=labels), set(split.index[chosen].tolist())


def train_once(data: Dataset, seed: int, name: str, folder: Path, without: Corrections | None = None) -> Run:
    """Train, or return the run that is there."""
    path = folder / f"{name}-{seed}"
    if Run(path).training.is_file():
        return open_run(path)
    return train(data, _CONFIG.replace(seed=seed), init=None, without=without, out=path, go_on=True)


def score(run: Run, data: Dataset) -> OutOfSample:
    """Predict every training image by a network that was not trained on it."""
    return cross_validate(run, _FOLDS, dataset=data)


def measure_recipes(noisy: Dataset, wrong: set[int], seeds: list[int], folder: Path) -> None:
    """Train the five recipes, and compare them over the seeds."""
    runs: dict[str, list[Run]] = {name: [] for name in ("all", "candidates", "random", "first", "random-first")}
    for seed in seeds:
        base = train_once(noisy, seed, "all", folder)
        found = find_candidates(score(base, noisy))
        left_out, first = sorted(found.index.tolist()), found.index[: len(wrong)]
        generator = torch.Generator().manual_seed(seed)
        drawn = noisy.train.index[torch.randperm(len(noisy.train), generator=generator)[: len(found)]]
        runs["all"].append(base)
        for name, corrections in (
            ("candidates", Corrections(tuple(left_out))),
            ("random", Corrections(tuple(sorted(drawn.tolist())))),
            ("first", Corrections(tuple(sorted(first.tolist())))),
            ("random-first", Corrections(tuple(sorted(drawn[: len(first)].tolist())))),
        ):
            runs[name].append(train_once(noisy, seed, name, folder, corrections))
        say(
            f"seed {seed}: {len(found)} candidates, {len(wrong & set(left_out))} of {len(wrong)} wrong labels among "
            f"them, {len(wrong & set(first.tolist()))} among the first {len(first)}"
        )
    for name, against in (
        ("candidates", "random"),
        ("first", "random-first"),
        ("first", "all"),
        ("candidates", "all"),
        ("random", "all"),
    ):
        if len(seeds) > 1:
            say_difference(name, against, runs)


def say_difference(name: str, against: str, runs: dict[str, list[Run]]) -> None:
    """Print the difference of two recipes in points."""
    result = compare_recipes(runs[name], runs[against])
    crossed = result.crossed
    sides = (f"{100 * side.mean:.2f} (std {100 * side.std:.2f})" for side in (result.recipe, result.against))
    here, anywhere = (
        " to ".join(f"{100 * bound:+.2f}" for bound in bounds) for bounds in (crossed.same_images, crossed.new_images)
    )
    needed = [crossed.count_seeds(has_new_images=is_new) for is_new in (False, True)]
    say(
        f"{name} {' against '.join(sides)} {against}: {100 * crossed.difference:+.2f}, these images {here}, "
        f"new images {anywhere}, seeds needed {needed}"
    )


def measure_finders(noisy: Dataset, wrong: set[int], seeds: list[int], folder: Path) -> None:
    """Print recall at a precision of 95 %, average precision, and what confident learning picks, of each finder."""
    runs = [train_once(noisy, seed, "all", folder) for seed in seeds]
    scored = [score(run, noisy) for run in runs]
    neighbours = [1 - count_agreement(run, noisy) for run in runs]
    is_wrong = torch.tensor([image_id in wrong for image_id in noisy.train.index.tolist()])
    sizes = sorted({1, min(2, len(seeds)), min(3, len(seeds)), len(seeds)})
    say(f"{'finder':<44} recall at 95 %   average precision   confident learning: precision, recall")
    for size in sizes:
        groups = [[(start + place) % len(seeds) for place in range(size)] for start in range(len(seeds))][: len(seeds)]
        rows: dict[str, list[tuple[float, ...]]] = {}
        for group in groups if size < len(seeds) else groups[:1]:
            mean = average([scored[place] for place in group])
            near = torch.stack([neighbours[place] for place in group]).mean(0)
            picked = find_candidates(mean).index.tolist()
            chosen = (len(wrong & set(picked)) / max(1, len(picked)), len(wrong & set(picked)) / len(wrong))
            rows.setdefault("self-confidence", []).append((*rank(doubt(mean), is_wrong), *chosen))
            rows.setdefault("embedding neighbours", []).append(rank(near, is_wrong))
            rows.setdefault("mean of both", []).append(rank(doubt(mean) + near, is_wrong))
        for name, values in rows.items():
            text = "   ".join(f"{100 * statistics.fmean(column):14.1f} %" for column in zip(*values, strict=True))
            say(f"{f'{name}, {size} seeds, mean of {len(values)}':<44} {text}")


def doubt(scored: OutOfSample) -> Tensor:
    """Return 1 minus the probability of the given label."""
    return 1 - scored.probabilities.gather(1, scored.labels[:, None])[:, 0]


def average(scored: list[OutOfSample]) -> OutOfSample:
    """Average the probabilities of several seeds."""
    return dataclasses.replace(scored[0], probabilities=torch.stack([each.probabilities for each in scored]).mean(0))


def count_agreement(run: Run, data: Dataset) -> Tensor:
    """Return the fraction of the nearest other training images, by embedding, that have the image's own label."""
    embedded = embed_split(run, "train", dataset=data)
    embeddings = F.normalize(embedded.embeddings.float() - embedded.embeddings.float().mean(0))
    positions, _ = find_nearest(embeddings, embeddings, _NEIGHBOURS + 1)
    own = torch.arange(len(positions))[:, None]
    is_other = positions != own
    agrees = (data.train.labels[positions] == data.train.labels[:, None]) & is_other
    return agrees.sum(1) / is_other.sum(1)


def rank(doubts: Tensor, is_wrong: Tensor) -> tuple[float, float]:
    """Return the recall of the longest list, by falling doubt, of which 95 % are wrong, and the average precision."""
    order = doubts.argsort(descending=True, stable=True)
    hits = is_wrong[order].double()
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    reached = (precision >= 0.95).nonzero().flatten()
    recall = float(hits[: int(reached[-1]) + 1].sum() / hits.sum()) if len(reached) else 0.0
    return recall, float((precision * hits).sum() / hits.sum())


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what the command line asks for."""
    task, name = sys.argv[1], sys.argv[2]
    seeds = [int(seed) for seed in (sys.argv[3] if len(sys.argv) > 3 else "0,1,2,3,4").split(",")]
    clean = load_set(name)
    train_split, wrong = plant(clean.train)
    noisy = dataclasses.replace(clean, splits={**clean.splits, "train": train_split})
    folder = _FOLDER / name.partition("=")[0]
    say(f"{name}: {len(clean.train):,} training images, {len(wrong)} wrong labels, {len(clean.test):,} test images")
    if task == "train":
        measure_recipes(noisy, wrong, seeds, folder)
    else:
        measure_finders(noisy, wrong, seeds, folder)


if __name__ == "__main__":
    main()
