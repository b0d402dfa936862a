"""Plant weak groups in `shapes`, and count how often `find_groups` and two other searches find them, or invent some.

.venv/bin/python -m bench.groups [--sets 40] [--permutations 400] [--run FOLDER]

- A network: ResNet-20, trained on `shapes` whose red pentagons are labelled circle. It is asked about new draws of the
  test images in which a tenth is changed: blurred, dark, of low contrast, or only stars. The mistakes are its own.
- Mistakes by lot: real images and embeddings; 2 to 10 % of each class are wrong, and 45 % of a group that is drawn by
  seed: an eighth of the images by one property, or a third of one class by a property.
- Nothing planted: mistakes by lot without a group; and the network's own mistakes, permuted within each class. What is
  reported there is a false alarm.

The other searches see the same conditions and embeddings, and have no second half to test on:

- exhaustive, like SliceLine (Sagadeeva and Boehm 2021, doi 10.1145/3448016.3457323): all conjunctions of up to two
  conditions by its score with alpha 0.95, of at least 1 % of the images; the first five with a score above 0.
- clusters, like Domino (Eyuboglu et al. 2022, arXiv:2203.14960): a mixture of 25 Gaussians over 16 principal components
  of the embedding, labels and predictions; of the clusters whose accuracy is ten points below that of all images the
  five weakest.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from visionlib.data import Dataset, ImageSplit
from visionlib.data.shapes import draw_shapes, load_shapes
from visionlib.evaluation import evaluate_model, wilson_interval
from visionlib.evaluation.groups.conditions import Conditions
from visionlib.evaluation.groups.find import draw_half, gather_conditions
from visionlib.evaluation.groups.judging import Judge
from visionlib.evaluation.groups.properties import Category, measure_properties
from visionlib.inference.predictions import SplitPredictions
from visionlib.inference.trained_model import TrainedModel
from visionlib.training import TrainConfig, train

CONFIG = TrainConfig(model="resnet20", epochs=8, peak_learning_rate=0.4)
N_TEST, FIRST_SEED = 2_000, 100
MOST_REPORTED, LEAST_OVERLAP = 5, 0.5
RESULT_HEADER = "| planted | sets | find_groups | described | others reported | exhaustive | clusters |"

Members = Tensor
Found = list[tuple[frozenset[str], Members]]
"""The conditions of each reported group, as `object size at most`, and its images."""


@dataclasses.dataclass(frozen=True, eq=False)
class Plant:
    """A planted group.

    Attributes:
        name: in the table.
        members: its images.
        words: for each of its properties the conditions that describe it.
    """

    name: str
    members: Members
    words: tuple[frozenset[str], ...]

    def is_found(self, found: Found) -> bool:
        """Whether half of a reported group's images are of this one, and half of this one's are reported."""
        return any(self._overlaps(members) for _, members in found)

    def is_described(self, found: Found) -> bool:
        """Whether such a group's conditions name each property of this one, with the right side or value."""
        return any(self._overlaps(members) and all(words & said for words in self.words) for said, members in found)

    def count_others(self, found: Found) -> int:
        """Count the reported groups of which less than half of the images are of this one."""
        return sum(int((members & self.members).sum()) < LEAST_OVERLAP * int(members.sum()) for _, members in found)

    def _overlaps(self, members: Members) -> bool:
        both = int((members & self.members).sum())
        return both >= LEAST_OVERLAP * max(int(members.sum()), int(self.members.sum()), 1)


def mark_red(split: ImageSplit, name: str) -> Members:
    """Return which images show a red object of a class."""
    entries = {entry.name: entry for entry in measure_properties(split)}
    colour = entries["object colour"]
    assert isinstance(colour, Category)
    return (colour.values == colour.names.index("red")) & (split.labels == split.classes.index(name))


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


def give_mistakes(predictions: SplitPredictions, split: ImageSplit, is_wrong: Members) -> SplitPredictions:
    """Replace the logits: another class than the label where it shall be wrong; the embeddings stay."""
    said = (split.labels + is_wrong.long()) % len(split.classes)
    logits = 5 * F.one_hot(said, len(split.classes)).float()
    return SplitPredictions(logits, logits, predictions.embeddings)


# The changes of images


def blur(images: Tensor) -> Tensor:
    """Blur by a Gaussian of std 1.2 pixels."""
    offsets = torch.arange(-3, 4).float()
    weights = (-(offsets**2) / (2 * 1.2**2)).exp()
    kernel = (weights[:, None] * weights).div(weights.sum() ** 2).expand(3, 1, 7, 7)
    return F.conv2d(F.pad(images.float(), (3, 3, 3, 3), mode="reflect"), kernel, groups=3)


CHANGES: dict[str, tuple[Callable[[Tensor], Tensor], frozenset[str]]] = {
    "blurred": (blur, frozenset({"sharpness at most"})),
    "dark": (lambda images: 0.15 * images.float(), frozenset({"brightness at most"})),
    "low contrast": (
        lambda images: 0.15 * images.float() + 0.85 * images.float().mean((2, 3), keepdim=True),
        frozenset({"contrast at most", "object contrast at most"}),
    ),
}


def change_images(split: ImageSplit, name: str, seed: int, among: Members, fraction: float) -> tuple[ImageSplit, Plant]:
    """Change a fraction of some images, drawn by seed."""
    change, words = CHANGES[name]
    generator = torch.Generator().manual_seed(seed)
    members = among & (torch.rand(len(split), generator=generator) < fraction)
    images = split.images.clone()
    images[members] = change(images[members]).round().clamp(0, 255).to(torch.uint8)
    return dataclasses.replace(split, images=images), Plant(name, members, (words,))


# Mistakes by lot

LOTS = (
    *("brightness at most", "brightness at least", "contrast at most", "sharpness at most", "saturation at most"),
    *("object size at most", "object contrast at most", "saturation at least"),
)


def draw_plant(split: ImageSplit, seed: int) -> Plant:
    """Draw a group by seed: an eighth of the images by a property, or a third of a class, in turn."""
    words = LOTS[seed // 2 % len(LOTS)]
    name, side = words.split(" at ")
    values = next(entry.values for entry in measure_properties(split) if entry.name == name).double()
    values = values if side == "most" else -values
    if seed % 2 == 0:
        return Plant("property", values <= values.quantile(1 / 8), (frozenset({words}),))
    label = seed // 2 % len(split.classes)
    is_class = split.labels == label
    members = is_class & (values <= values[is_class].quantile(1 / 3))
    said = frozenset({f"class is {split.classes[label]}"})
    return Plant("property within a class", members, (frozenset({words}), said))


def draw_mistakes(split: ImageSplit, members: Members, seed: int) -> Members:
    """Draw mistakes: 45 % of a group, 2 to 10 % of each class otherwise."""
    generator = torch.Generator().manual_seed(seed)
    rates = (0.02 + 0.08 * torch.rand(len(split.classes), generator=generator))[split.labels]
    rates[members] = 0.45
    return torch.rand(len(split), generator=generator) < rates


def permute_mistakes(is_wrong: Members, labels: Tensor, seed: int) -> Members:
    """Permute mistakes within each class."""
    generator, permuted = torch.Generator().manual_seed(seed), is_wrong.clone()
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        permuted[members] = is_wrong[members[torch.randperm(len(members), generator=generator)]]
    return permuted


# The searches


class Searches:
    """The three searches on one draw of images: the conditions are made once.

    Args:
        split: images.
        predictions: of them; mistakes can be replaced, embeddings stay.
        seed: of halves and clusters.
    """

    def __init__(self, split: ImageSplit, predictions: SplitPredictions, seed: int) -> None:
        self.split, self.predictions, self._seed = split, predictions, seed
        self._half = draw_half(split.labels, split.index, seed)
        self.conditions: Conditions = gather_conditions(predictions, split, self._half, seed=seed)[0]
        self._said = [f"{entry.name} {entry.relation}" for entry in self.conditions.conditions]
        for at, entry in enumerate(self.conditions.conditions):
            if entry.relation == "is":
                self._said[at] += f" {entry.value}"

    def find_groups(self, predictions: SplitPredictions) -> Found:
        """Search as the library does."""
        names = {entry: at for at, entry in enumerate(self.conditions.conditions)}
        groups = Judge(predictions, self.split, self._half).search(self.conditions)
        chosen = [[names[entry] for entry in group.conditions] for group in groups if group.verdict == "weak"]
        return [self._report(places) for places in chosen]

    def search_exhaustively(self, predictions: SplitPredictions) -> Found:
        """Score all conjunctions of up to two conditions on all images."""
        wrong = (predictions.logits.argmax(1) != self.split.labels).float()
        members = self.conditions.members.float()
        sizes, errors = members.T @ members, (members * wrong[:, None]).T @ members
        names = np.array([entry.name for entry in self.conditions.conditions])
        n, alpha = len(wrong), 0.95
        scores = alpha * (errors / sizes.clamp(min=1) / wrong.mean().clamp(min=1e-9) - 1)
        scores -= (1 - alpha) * (n / sizes.clamp(min=1) - 1)
        is_same = torch.from_numpy(names[:, None] == names).fill_diagonal_(False)
        scores = scores.masked_fill(is_same | (sizes < max(n / 100, 8)), -1.0).triu(diagonal=0)
        first = scores.flatten().argsort(descending=True)[:MOST_REPORTED].tolist()
        pairs = [divmod(place, len(names)) for place in first if float(scores.flatten()[place]) > 0]
        return [self._report(list(dict.fromkeys(pair))) for pair in pairs]

    def search_clusters(self, predictions: SplitPredictions) -> Found:
        """Cluster embedding, label and prediction of all images."""
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture

        assert predictions.embeddings is not None
        said, labels = predictions.logits.argmax(1), self.split.labels
        embeddings = PCA(16, random_state=0).fit_transform(predictions.embeddings.float().numpy())
        embeddings /= embeddings.std(0)
        k = len(self.split.classes)
        classes = torch.cat([F.one_hot(labels, k), F.one_hot(said, k)], 1).numpy() * 3.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the number of iterations
            mixture = GaussianMixture(25, covariance_type="diag", reg_covar=1e-2, max_iter=50, random_state=self._seed)
            clusters = torch.from_numpy(mixture.fit_predict(np.concatenate([embeddings, classes], 1)))
        is_right = (said == labels).float()
        found = [(float(is_right[clusters == at].mean()), clusters == at) for at in clusters.unique().tolist()]
        weak = sorted(entry for entry in found if entry[0] < float(is_right.mean()) - 0.1)
        return [(frozenset(), members) for _, members in weak[:MOST_REPORTED]]

    def _report(self, places: list[int]) -> tuple[frozenset[str], Members]:
        return frozenset(self._said[at] for at in places), self.conditions.members[:, places].all(1)


# The tables


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
        for name in ("red pentagons", *CHANGES, "blurred stars"):
            if name == "red pentagons":
                red = (frozenset({"class is pentagon"}), frozenset({"object colour is red", "red pixels at least"}))
                split, plant = drawn, Plant(name, mark_red(drawn, "pentagon"), red)
            elif name == "blurred stars":
                split, plant = change_images(drawn, "blurred", seed, stars, 0.3)
                plant = dataclasses.replace(plant, words=(*plant.words, frozenset({"class is star"})))
            else:
                split, plant = change_images(drawn, name, seed, everything, 0.1)
            predictions = predict(model, split)
            is_right = predictions.logits.argmax(1) == split.labels
            accuracies[name].append(float(is_right[plant.members].float().mean()))
            results[name].append(judge_plant(Searches(split, predictions, seed), predictions, plant))
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
        planted = give_mistakes(own, split, draw_mistakes(split, plant.members, seed))
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
    tabulate_plants(results)
    tabulate_alarms(alarms)


def main() -> None:
    """Train, plant, search, and print the tables."""
    parser = argparse.ArgumentParser(description="Plant weak groups, and search them.")
    parser.add_argument("--sets", type=int, default=40, help="draws of images; a quarter of them is changed")
    parser.add_argument("--permutations", type=int, default=400)
    parser.add_argument("--run", type=Path, help="folder of the network; it is trained there if it is absent")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = train_network(options.run or Path(folder) / "run")
        accuracy = evaluate_model(model, draw_shapes(N_TEST, seed=FIRST_SEED, part=1)).accuracy
        show(f"torch {torch.__version__}, ready after {time.perf_counter() - started:.0f} s; accuracy {accuracy:.4f}")
        plant_in_images(model, max(1, options.sets // 4))
        plant_by_lot(model, options.sets, options.permutations)
    show(f"all after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
