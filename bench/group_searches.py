"""The search of the library, and two others without a second half to test on, on one draw of images.

- exhaustive, like SliceLine (Sagadeeva and Boehm 2021, doi 10.1145/3448016.3457323): all conjunctions of up to two
  conditions by its score with alpha 0.95, of at least 1 % of the images; the first five with a score above 0.
- clusters, like Domino (Eyuboglu et al. 2022, arXiv:2203.14960): a mixture of 25 Gaussians over 16 principal components
  of the embedding, labels and predictions; of the clusters whose accuracy is ten points below that of all images the
  five weakest.
"""

import operator
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from bench.group_plants import Found, Members
from visionlib.data import ImageSplit
from visionlib.evaluation.groups.conditions import Condition, Conditions
from visionlib.evaluation.groups.find import draw_half, gather_conditions
from visionlib.evaluation.groups.judging import Judge
from visionlib.inference.predictions import SplitPredictions

MOST_REPORTED = 5


class Searches:
    """The three searches on one draw of images: the conditions are made once.

    Args:
        split: images.
        predictions: of them; mistakes can be replaced, embeddings stay.
        seed: of halves and clusters.
    """

    def __init__(self, split: ImageSplit, predictions: SplitPredictions, seed: int) -> None:
        self.split, self.predictions, self._seed = split, predictions, seed
        half = draw_half(split.labels, split.index, seed)
        self._halves = gather_conditions(predictions, split, (half, ~half), seed=seed)[0]
        everything = torch.ones_like(half)
        self.conditions: Conditions = gather_conditions(predictions, split, (everything,), seed=seed)[0][0][0]

    def find_groups(self, predictions: SplitPredictions) -> Found:
        """Search as the library does."""
        groups = Judge(predictions, self.split).search(self._halves)
        found = []
        for group in (group for group in groups if group.verdict == "weak"):
            members = torch.zeros_like(self.split.labels, dtype=torch.bool)
            members[list(group.images.index)] = True  # the ids of a whole split are its positions
            found.append((frozenset(map(write_condition, group.conditions)), members))
        return found

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
        weak = sorted((entry for entry in found if entry[0] < float(is_right.mean()) - 0.1), key=operator.itemgetter(0))
        return [(frozenset(), members) for _, members in weak[:MOST_REPORTED]]

    def _report(self, places: list[int]) -> tuple[frozenset[str], Members]:
        words = frozenset(write_condition(self.conditions.conditions[at]) for at in places)
        return words, self.conditions.members[:, places].all(1)


def write_condition(condition: Condition) -> str:
    """Write a condition without its threshold."""
    words = f"{condition.name} {condition.relation}"
    return f"{words} {condition.value}" if condition.relation == "is" else words
