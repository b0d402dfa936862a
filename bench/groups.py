"""Plant weak groups in `shapes`, and count how often `find_groups` and two other searches find them, or invent some.

.venv/bin/python -m bench.groups [--sets 40] [--permutations 200] [--run FOLDER] [--part images|lots]

- A network: ResNet-20, trained on `shapes` whose red pentagons are labelled circle. It is asked about new draws of the
  test images: as they are; with the red pentagons labelled circle in the test split, too, so that about half of the
  red objects of that class are pentagons; and with a tenth of the images changed, blurred, dark or of low contrast, or
  30 % of the stars blurred. The mistakes are its own.
- Mistakes by lot: real images and embeddings; 2 to 10 % of each class are wrong, and more of a group that is drawn by
  seed: 40 % of an eighth of the images, chosen by one property; or 60 % of a third of one class.
- Nothing planted: mistakes by lot without a group; and the network's own mistakes, permuted within each class. What is
  reported there is a false alarm.

Beside it two other searches, see `bench/group_searches.py`.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from bench.group_plants import (
    CHANGES,
    Plant,
    change_images,
    draw_mistakes,
    draw_plant,
    give_mistakes,
    mark_red,
    permute_mistakes,
)
from bench.group_searches import Searches
from visionlib.data import Dataset, ImageSplit
from visionlib.data.shapes import draw_shapes, load_shapes
from visionlib.evaluation import evaluate_model, wilson_interval
from visionlib.inference.predictions import SplitPredictions
from visionlib.inference.trained_model import TrainedModel
from visionlib.training import TrainConfig, train

CONFIG = TrainConfig(model="resnet20", epochs=8, peak_learning_rate=0.4)
N_TEST, FIRST_SEED = 2_000, 100
_SHOWN = 10
"""Draws of images between two prints of the tables."""


def train_network(folder: Path) -> TrainedModel:
    """Train on `shapes` whose red pentagons are labelled circle."""
    if not folder.exists():
        data = load_shapes()
        labels = data.train.labels.clone()
        labels[mark_red(data.train, "pentagon")] = data.classes.index("circle")
        splits = {"train": dataclasses.replace(data.train, labels=labels), "test": data.test}
        train(Dataset("shapes with wrong labels", splits, data.classes), CONFIG, out=folder)
    return TrainedModel.from_run(folder, device="cpu")


def predict(model: TrainedModel, split: ImageSplit) -> SplitPredictions:
    """Predict without the mirror images, which the search does not look at."""
    outputs = model.predict(split.images)
    return SplitPredictions(outputs.logits, outputs.logits, outputs.embeddings)


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def tabulate_plants(results: dict[str, list[tuple[bool, ...]]]) -> None:
    """Print how many plants each search found."""
    show("| planted | sets | find_groups found | with its description | exhaustive found | clusters found |")
    show("|---|---|---|---|---|---|")
    for name, rows in results.items():
        counts = [sum(column) for column in zip(*rows, strict=True)]
        show(f"| {name} | {len(rows)} | " + " | ".join(map(str, counts)) + " |")


def tabulate_alarms(results: dict[str, dict[str, list[bool]]]) -> None:
    """Print which fraction of the sets without a plant each search reports a group in."""
    show("| nothing planted | find_groups | exhaustive | clusters |")
    show("|---|---|---|---|")
    for name, columns in results.items():
        cells = []
        for alarms in columns.values():
            low, high = wilson_interval(sum(alarms), len(alarms)) or (0.0, 1.0)
            cells.append(f"{sum(alarms)} of {len(alarms)} ({100 * low:.1f} to {100 * high:.1f} %)")
        show(f"| {name} | " + " | ".join(cells) + " |")


def judge_plant(searches: Searches, predictions: SplitPredictions, plant: Plant) -> tuple[bool, ...]:
    """Return whether each search found a plant, and whether the library described it."""
    found = searches.find_groups(predictions)
    others = (searches.search_exhaustively(predictions), searches.search_clusters(predictions))
    return plant.is_found(found), plant.is_described(found), *(plant.is_found(other) for other in others)


def plant_in_images(model: TrainedModel, sets: int) -> None:
    """Ask the network about changed images, and print what was found."""
    results: dict[str, list[tuple[bool, ...]]] = defaultdict(list)
    accuracies: dict[str, list[float]] = defaultdict(list)
    for seed in range(FIRST_SEED, FIRST_SEED + sets):
        drawn = draw_shapes(N_TEST, seed=seed, part=1)
        everything, stars = torch.ones(N_TEST, dtype=torch.bool), drawn.labels == drawn.classes.index("star")
        for name in ("red pentagons", "red pentagons labelled circle", *CHANGES, "blurred stars"):
            if name == "red pentagons":
                red = (frozenset({"class is pentagon"}), frozenset({"object colour is red", "red pixels at least"}))
                split, plant = drawn, Plant(name, mark_red(drawn, "pentagon"), red)
            elif name == "red pentagons labelled circle":
                labels, members = drawn.labels.clone(), mark_red(drawn, "pentagon")
                labels[members] = drawn.classes.index("circle")
                split = dataclasses.replace(drawn, labels=labels)
                red = (frozenset({"class is circle"}), frozenset({"object colour is red", "red pixels at least"}))
                plant = Plant(name, mark_red(split, "circle"), red)
            elif name == "blurred stars":
                split, plant = change_images(drawn, "blurred", seed, stars, 0.3)
                plant = dataclasses.replace(plant, words=(*plant.words, frozenset({"class is star"})))
            else:
                split, plant = change_images(drawn, name, seed, everything, 0.1)
            predictions = predict(model, split)
            is_right = predictions.logits.argmax(1) == split.labels
            accuracies[name].append(float(is_right[plant.members].float().mean()))
            results[name].append(judge_plant(Searches(split, predictions, seed), predictions, plant))
        show(f"{seed - FIRST_SEED + 1} draws of images")
        tabulate_plants(results)
    show("accuracy within the plants: " + ", ".join(f"{name} {np.mean(a):.3f}" for name, a in accuracies.items()))


def plant_by_lot(model: TrainedModel, sets: int, permutations: int) -> None:
    """Draw mistakes with a group and without, permute the network's own, and print what was found."""
    results: dict[str, list[tuple[bool, ...]]] = defaultdict(list)
    alarms: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    nothing = torch.zeros(N_TEST, dtype=torch.bool)
    for number in range(sets):
        seed = FIRST_SEED + number
        split = draw_shapes(N_TEST, seed=seed, part=1)
        searches = Searches(split, predict(model, split), seed)
        own = searches.predictions
        plant = draw_plant(split, number)
        planted = give_mistakes(own, split, draw_mistakes(split, plant.members, seed, plant.rate))
        results[plant.name].append(judge_plant(searches, planted, plant))
        own_mistakes = own.logits.argmax(1) != split.labels
        each = -(-permutations // sets)
        for draw in range(each):
            number_of = seed * 10_000 + draw
            for name, is_wrong in (
                ("mistakes by lot", draw_mistakes(split, nothing, number_of)),
                ("its own, permuted", permute_mistakes(own_mistakes, split.labels, number_of)),
            ):
                without = give_mistakes(own, split, is_wrong)
                alarms[name]["find_groups"].append(bool(searches.find_groups(without)))
                if draw == 0:  # the others raise an alarm nearly always
                    alarms[name]["exhaustive"].append(bool(searches.search_exhaustively(without)))
                    alarms[name]["clusters"].append(bool(searches.search_clusters(without)))
        if (number + 1) % _SHOWN == 0 or number + 1 == sets:
            show(f"{number + 1} draws of images")
            tabulate_plants(results)
            tabulate_alarms(alarms)


def main() -> None:
    """Train, plant, search, and print the tables."""
    parser = argparse.ArgumentParser(description="Plant weak groups, and search them.")
    parser.add_argument("--sets", type=int, default=40, help="draws of images; a quarter of them is changed")
    parser.add_argument("--permutations", type=int, default=200)
    parser.add_argument("--run", type=Path, help="folder of the network; it is trained there if it is absent")
    parser.add_argument("--part", choices=("images", "lots"), help="one of the two experiments; both by default")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = train_network(options.run or Path(folder) / "run")
        accuracy = evaluate_model(model, draw_shapes(N_TEST, seed=FIRST_SEED, part=1)).accuracy
        show(f"torch {torch.__version__}, ready after {time.perf_counter() - started:.0f} s; accuracy {accuracy:.4f}")
        if options.part != "lots":
            plant_in_images(model, max(1, options.sets // 4))
        if options.part != "images":
            plant_by_lot(model, options.sets, options.permutations)
    show(f"all after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
