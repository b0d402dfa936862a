"""How far a picture is from everything that a network was trained on.

The distance is that of the embedding: one minus the cosine of the angle to the nearest training images, averaged. The
network has learned the training images themselves, so that ordinary new images lie farther away than they do from each
other: the threshold comes from images that were held out of the training.

Source: Sun et al. 2022, arXiv:2204.06507 (distances to nearest neighbours of normalized embeddings).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from visionlib.errors import RunError
from visionlib.runs import Run, read_json
from visionlib.runs.results import load_result, save_result

SAMPLE = 4000
"""Training images that are kept: at 256 numbers each a file of 2 MB."""
FALSE_ALARMS = 0.01
_NEIGHBOURS = 5
_LEAST_HELD_OUT = 100
"""Held-out images below which the threshold is made from the training images, each without itself."""
_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Novelty:
    """A sample of the training images' embeddings, and the distance beyond which a picture is unusual.

    Attributes:
        embeddings: of unit length.
        threshold: beyond it lie `FALSE_ALARMS` of the images that it was fitted on.
        n: number of those images.
        is_held_out: whether they were held out of the training; else they are the training images, each compared with
            the others, and ordinary new images are flagged more often than `FALSE_ALARMS`.
    """

    embeddings: Float16[Tensor, "m d"]
    threshold: float
    n: int
    is_held_out: bool

    def distances(self, embeddings: Float[Tensor, "n d"]) -> Float32[Tensor, "n"]:
        """Return the distance of each image, from 0 to 2."""
        return _distances(embeddings, self.embeddings)

    def save(self, run: Run, weights_sha256: str) -> None:
        """Write `novelty.json` and `novelty.npz`."""
        record = {
            "weights_sha256": weights_sha256,
            "threshold": self.threshold,
            "n": self.n,
            "is_held_out": self.is_held_out,
            "false_alarms": FALSE_ALARMS,
            "neighbours": _NEIGHBOURS,
        }
        save_result(run.novelty, record, arrays={"embeddings": self.embeddings.numpy()})


def fit_novelty(trained: Float[Tensor, "m d"], held_out: Float[Tensor, "n d"] | None) -> Novelty | None:
    """Fit the threshold.

    Args:
        trained: embeddings of training images.
        held_out: embeddings of images that were held out; None, or few, for none.
    Returns:
        The reference; None for fewer training images than neighbours, or embeddings that are not finite.
    """
    if len(trained) <= _NEIGHBOURS or not bool(trained.isfinite().all()):
        return None
    reference = F.normalize(trained.float(), dim=1).half()
    is_held_out = held_out is not None and len(held_out) >= _LEAST_HELD_OUT
    if is_held_out:
        assert held_out is not None
        distances = _distances(held_out, reference)
    else:
        distances = _distances(trained, reference, skip_nearest=1)
    threshold = float(torch.quantile(distances.double(), 1 - FALSE_ALARMS))
    return Novelty(reference, threshold, len(distances), is_held_out)


def load_novelty(run: Run, weights_sha256: str) -> Novelty | None:
    """Read what the training has kept; None for a run without, as of an older version, and for one of other weights.

    Raises:
        RunError: if it is damaged.
    """
    if not run.novelty.is_file() or read_json(run.novelty).get("weights_sha256") != weights_sha256:
        return None

    def build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Novelty:
        embeddings = arrays["embeddings"]
        if embeddings.dtype != np.float16 or embeddings.ndim != 2 or len(embeddings) <= _NEIGHBOURS:
            raise RunError(run.novelty, "holds no table of embeddings", "train again, or remove it")
        return Novelty(
            torch.from_numpy(embeddings), float(record["threshold"]), int(record["n"]), bool(record["is_held_out"])
        )

    return load_result(run.novelty, {}, build, remedy="visionlib train")


def draw_sample(n: int, seed: int) -> Int64[Tensor, "m"]:
    """Draw the positions of at most `SAMPLE` of n training images; a function of the seed alone."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:SAMPLE].sort().values


def _distances(
    embeddings: Float[Tensor, "n d"], reference: Float16[Tensor, "m d"], skip_nearest: int = 0
) -> Float32[Tensor, "n"]:
    # A network may give NaN or infinite embeddings for an image far from all others: that is as far as it gets.
    unit = F.normalize(embeddings.float(), dim=1).nan_to_num(0.0)
    rows = []
    for chunk in torch.split(unit, _ROWS):
        nearest = (chunk @ reference.float().T).topk(_NEIGHBOURS + skip_nearest, dim=1).values[:, skip_nearest:]
        rows.append(1 - nearest.mean(1))
    return torch.cat(rows) if rows else torch.zeros(0)
