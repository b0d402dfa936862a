"""`map_embeddings`: the images of a split on a plane, those near each other that look alike to the network."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from visionlib.data import Dataset
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError, RunError
from visionlib.inference.trained_model import load_record
from visionlib.inspection.kept import load_kept, save_kept
from visionlib.inspection.split_embeddings import SplitEmbeddings, embed_split, expect_of
from visionlib.runs import Run

_FEWEST_IMAGES, _FEWEST_ITERATIONS = 5, 250
_SAMPLE, _NEIGHBOURS = 2000, 12
_FIGURES = (
    "perplexity",
    "kl_divergence",
    "trustworthiness",
    "trustworthiness_n",
    "trustworthiness_neighbours",
    "n_split",
)
_THREADS = 2
"""The gradient is a sum over threads, in the order in which they end: of two parts it is the same either way."""


@dataclass(frozen=True)
class MapSettings:
    """How a map is made.

    Attributes:
        perplexity: how many neighbours an image heeds, roughly; a third of the images where there are few.
        seed: chooses the images of a larger split, and the sample of the trustworthiness.
        iterations: steps of the descent, 250 of them with the attraction exaggerated.
        components: principal components that the distances are taken in.
        angle: how coarsely far images are taken together (Barnes-Hut), 0 being exact.
        most_images: how many are shown at most.
    Raises:
        ConfigError: if a value is out of its range.
    """

    perplexity: float = 30.0
    seed: int = 0
    iterations: int = 750
    components: int = 50
    angle: float = 0.8
    most_images: int = 10_000

    def __post_init__(self) -> None:
        limits = (
            ("perplexity", 1),
            ("seed", 0),
            ("iterations", _FEWEST_ITERATIONS),
            ("components", 2),
            ("angle", 0),
            ("most_images", _FEWEST_IMAGES),
        )
        for name, low in limits:
            if getattr(self, name) < low:
                raise ConfigError(name, f"{getattr(self, name)} is out of range", f"it must be at least {low}")


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Images of a split on a plane; distances between far images mean nothing, and neither do the axes.

    Attributes:
        split: name of the split.
        index: what each image is called for good.
        positions: of each image on the plane.
        labels: positions in `classes`.
        predictions: positions in `classes`.
        classes: class names.
        settings: how it was made.
        perplexity: that was used.
        kl_divergence: what the descent made as small as it could, in nats, as Barnes-Hut estimates it.
        trustworthiness: 1 if the neighbours on the plane are neighbours in the embedding, 0.5 by chance.
        trustworthiness_n: images of the sample that it was measured on.
        trustworthiness_neighbours: neighbours that were looked at.
        n_split: images that the split has.
    """

    split: str
    index: Int64[Tensor, "n"]
    positions: Float32[Tensor, "n 2"]
    labels: Int64[Tensor, "n"]
    predictions: Int64[Tensor, "n"]
    classes: tuple[str, ...]
    settings: MapSettings
    perplexity: float
    kl_divergence: float
    trustworthiness: float
    trustworthiness_n: int
    trustworthiness_neighbours: int
    n_split: int

    def to_dict(self) -> dict[str, Any]:
        """Give everything but the arrays as plain values for JSON."""
        return {
            "split": self.split,
            "n": len(self.index),
            "settings": dataclasses.asdict(self.settings),
            **{name: getattr(self, name) for name in _FIGURES},
        }


def map_embeddings(
    run: Run,
    split: str = "test",
    settings: MapSettings = MapSettings(),
    *,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
) -> EmbeddingMap:
    """Give the map of a split that is kept in the run; where there is none of these weights and settings, make it.

    The same embeddings and settings give the same map, bit for bit, on one machine.

    Args:
        run: a finished run.
        split: a split that the run's dataset has.
        settings: how to make it.
        dataset: where the run's data lies now, for a split other than test whose embeddings are not kept yet.
        device: what to predict on, likewise.
    Raises:
        RunError: if there are no embeddings, too few images, or all embeddings are the same.
        DataError: if the data must be read and cannot be.
    """
    try:
        return load_map(run, split, settings)
    except RunError:
        embeddings = embed_split(run, split, dataset=dataset, device=device)
    result = lay_out_map(embeddings, settings)
    arrays = {name: getattr(result, name).numpy() for name in ("index", "positions", "labels", "predictions")}
    save_kept(run, f"map-{split}", arrays, {**result.to_dict(), **expect_of(run, split)})
    return result


def load_map(run: Run, split: str = "test", settings: MapSettings | None = None) -> EmbeddingMap:
    """Read the map that a run keeps of a split.

    Args:
        run: a finished run.
        split: a split that the run's dataset has.
        settings: that it must have been made with; None takes any.
    Raises:
        RunError: if there is none, or it is damaged, or of other weights, data or settings.
    """
    record = load_record(run)
    wanted = {} if settings is None else {"settings": dataclasses.asdict(settings)}

    def build(tensors: dict[str, Any], kept: dict[str, Any]) -> EmbeddingMap:
        told = {name: kept[name] for name in ("split", *_FIGURES)}
        return EmbeddingMap(**tensors, **told, settings=MapSettings(**kept["settings"]), classes=record.classes)

    return load_kept(run, f"map-{split}", {**expect_of(run, split), **wanted}, build)


def lay_out_map(embeddings: SplitEmbeddings, settings: MapSettings) -> EmbeddingMap:
    """Lay a split's images out on a plane by t-SNE, after principal components.

    Raises:
        RunError: if there are fewer than five images, or all embeddings are the same.
    Source: van der Maaten and Hinton 2008, JMLR 9; start at the principal components: Kobak and Berens 2019,
        doi 10.1038/s41467-019-13056-x.
    """
    n = len(embeddings)
    if n < _FEWEST_IMAGES:
        raise RunError(embeddings.split, f"{n} images are too few for a map", f"it takes at least {_FEWEST_IMAGES}")
    chosen = random_order(settings.seed, 0, embeddings.index, Stream.MAP_IMAGES)[: settings.most_images].sort().values
    index = embeddings.index[chosen]
    rows = embeddings.embeddings[chosen]
    if bool((rows == rows[0]).all()):
        raise RunError(embeddings.split, "all images have the same embedding", "the network is broken; train it again")
    perplexity = min(settings.perplexity, (len(chosen) - 1) / 3)
    positions, kl_divergence = _descend(rows, perplexity, settings)
    sample = random_order(settings.seed, 0, index, Stream.MAP_TRUST_SAMPLE)[:_SAMPLE]
    neighbours = min(_NEIGHBOURS, (len(sample) - 1) // 2)
    return EmbeddingMap(
        split=embeddings.split,
        index=index,
        positions=torch.from_numpy(positions),
        labels=embeddings.labels[chosen],
        predictions=embeddings.predictions[chosen],
        classes=embeddings.classes,
        settings=settings,
        perplexity=perplexity,
        kl_divergence=kl_divergence,
        trustworthiness=_measure_trust(rows[sample], positions[sample.numpy()], neighbours),
        trustworthiness_n=len(sample),
        trustworthiness_neighbours=neighbours,
        n_split=n,
    )


def _descend(
    rows: Float16[Tensor, "n d"], perplexity: float, settings: MapSettings
) -> tuple[NDArray[np.float32], float]:
    """Give positions on the plane, and the divergence that is left."""
    # scikit-learn takes a second to import: only those who map pay for it.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n, d = rows.shape
    # One thread for matrix products, which else would round by the number of threads; they are a small part. The
    # gradient takes OpenMP's number, whatever n_jobs says.
    with threadpool_limits({"blas": 1, "openmp": _THREADS}):
        reduced = PCA(min(settings.components, n, d), svd_solver="full" if n < d else "covariance_eigh").fit_transform(
            rows.float().numpy()
        )
        start = np.zeros((n, 2), dtype=np.float32)
        start[:, : reduced.shape[1]] = reduced[:, :2] / reduced[:, 0].std() * 1e-4
        descent = TSNE(
            init=start,
            perplexity=perplexity,
            max_iter=settings.iterations,
            angle=settings.angle,
            random_state=settings.seed,
            n_jobs=_THREADS,
        )
        positions = descent.fit_transform(reduced)
    return positions.astype(np.float32), float(descent.kl_divergence_)


def _measure_trust(rows: Float16[Tensor, "m d"], positions: NDArray[np.float32], neighbours: int) -> float:
    """Measure how far neighbours on the plane are neighbours in the embedding, within a sample.

    Source: Venna and Kaski 2001, doi 10.1007/3-540-44668-0_68.
    """
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(rows.float().numpy(), positions, n_neighbors=neighbours))
