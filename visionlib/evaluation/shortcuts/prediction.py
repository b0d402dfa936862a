"""`predict_from`: the class of each image, and the classes that it is almost surely of, told by a few numbers alone."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

_MOST_LEAVES = 32
_FEWEST_IMAGES, _LEAF_FRACTION = 5, 1e-3
"""Images in a leaf of the tree, at least: a number, and a fraction of the training images."""
BALANCED_PRECISION = 0.95
"""An image is flagged as of a class if, were half of all images of that class, at least this part of its leaf were."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What trees of the other folds say about each image.

    Attributes:
        predicted: the class.
        is_flagged: as which classes it is flagged.
    """

    predicted: Int64[Tensor, "n"]
    is_flagged: Bool[Tensor, "n k"]


def predict_from(
    values: Float64[Tensor, "n d"], labels: Int64[Tensor, "n"], folds: Int64[Tensor, "n"], classes: int
) -> OutOfFold:
    """Predict the images of each fold by a decision tree that was grown on the others.

    A tree isolates a box in the space of the numbers, such as magenta corners, without any scaling, for any number of
    classes at once. It has at most 32 leaves.

    Args:
        values: of each image.
        labels: class numbers.
        folds: of each image, from 0.
        classes: number of classes.
    """
    # scikit-learn takes a second to import.
    from sklearn.tree import DecisionTreeClassifier

    predicted = torch.zeros_like(labels)
    is_flagged = torch.zeros(len(labels), classes, dtype=torch.bool)
    numbers = values.float().numpy()
    for fold in range(int(folds.max()) + 1):
        is_test = folds == fold
        known = labels[~is_test]
        smallest = max(_FEWEST_IMAGES, round(_LEAF_FRACTION * len(known)))
        tree = DecisionTreeClassifier(max_leaf_nodes=_MOST_LEAVES, min_samples_leaf=smallest, random_state=0)
        tree.fit(numbers[~is_test.numpy()], known.numpy())
        leaves = torch.from_numpy(tree.apply(numbers).astype(np.int64))
        counts = torch.zeros(int(leaves.max()) + 1, classes, dtype=torch.float64)
        counts.index_put_((leaves[~is_test], known), torch.ones(len(known), dtype=torch.float64), accumulate=True)
        predicted[is_test] = counts.argmax(1)[leaves[is_test]]
        is_flagged[is_test] = _flag(counts)[leaves[is_test]]
    return OutOfFold(predicted, is_flagged)


def _flag(counts: Float64[Tensor, "l k"]) -> Bool[Tensor, "l k"]:
    """Decide which leaves flag which classes; one image of average class is added to each leaf, so that few do not."""
    prior = counts.sum(0) / counts.sum()
    shares = (counts + prior) / (counts.sum(1, keepdim=True) + 1)
    # Weights that make the class as common as all others together.
    of_class, of_others = shares * (1 - prior), (1 - shares) * prior
    return of_class >= BALANCED_PRECISION * (of_class + of_others).clamp(min=1e-12)
