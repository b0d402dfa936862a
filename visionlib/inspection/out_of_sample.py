"""Out-of-sample probabilities, from networks that were not trained on the images: only these can question a label."""

from dataclasses import dataclass

from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data.sources import Sources
from visionlib.errors import DataError
from visionlib.inference.predictions import load_predictions
from visionlib.runs import Run


@dataclass(frozen=True, eq=False)
class OutOfSample:
    """Probabilities by networks that were not trained on the images, from `score_test` or `cross_validate`.

    Attributes:
        split: name of the images' split.
        source: origin of the probabilities, in words.
        index: stable image ids.
        labels: given labels, as positions in `classes`.
        probabilities: a row per image, which sums to 1.
        classes: class names.
        content_hash: of the split.
        sources: files that the images were read from, by their stable ids; None if they are not known.
    Raises:
        DataError: if shapes disagree, a label is out of range, or a row is not a distribution.
    """

    split: str
    source: str
    index: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    probabilities: Float64[Tensor, "n k"]
    classes: tuple[str, ...]
    content_hash: str
    sources: Sources | None = None

    def __post_init__(self) -> None:
        n, k = self.probabilities.shape
        remedy = "make them with score_test or cross_validate, from the run's own data"
        if k != len(self.classes):
            raise DataError("probabilities", f"have {k} columns for {len(self.classes)} classes", remedy)
        if not n == len(self.labels) == len(self.index):
            raise DataError("probabilities", f"are of {n} images, and there are {len(self.labels)} labels", remedy)
        if n and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < k:
            extent = f"{int(self.labels.min())}..{int(self.labels.max())}"
            raise DataError("labels", f"are {extent} for {k} classes", remedy)
        is_valid = (self.probabilities >= 0).all() & ((self.probabilities.sum(1) - 1).abs() < 1e-4).all()
        if not bool(is_valid):
            raise DataError("probabilities", "hold a row that does not sum to 1", remedy)

    def find_worst(self, count: int) -> tuple[int, ...]:
        """Return the ids of the images with the lowest probability of their given class, the lowest first."""
        given = self.probabilities.gather(1, self.labels[:, None])[:, 0]
        return tuple(self.index[given.argsort(stable=True)[:count]].tolist())


def score_test(run: Run) -> OutOfSample:
    """Return the probabilities that a run's network predicts for its test split, averaged over mirror images.

    Raises:
        RunError: if the run is unfinished or damaged, or lacks its predictions.
    """
    stored = load_predictions(run)
    logits, _ = stored.predictions.choose_logits(is_mirrored=True)
    return OutOfSample(
        split="test",
        source=(
            f"{stored.record.model}, which was not trained on them; logits are averaged with those of the mirror image"
        ),
        index=stored.index,
        labels=stored.labels,
        probabilities=logits.softmax(1),
        classes=stored.record.classes,
        content_hash=stored.content_hash,
        sources=stored.sources,
    )
