"""`map_embeddings`: a t-SNE map of a split's embeddings, on which similar images lie close together."""

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
from visionlib.inspection.split_embeddings import SplitEmbeddings, embed_split, read_hashes, to_arrays, to_tensors
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.results import load_result, save_result

_MIN_IMAGES, _MIN_ITERATIONS = 5, 250
_TRUST_SAMPLE, _TRUST_NEIGHBOURS = 2000, 12
_MEASURES = (
    *("perplexity", "kl_divergence", "trustworthiness", "trustworthiness_n", "trustworthiness_neighbours"),
    "n_split",
)
_THREADS = 2
"""t-SNE sums its gradient over threads in the order in which they end. A sum of two parts is the same in any order."""


@dataclass(frozen=True)
class MapSettings:
    """Settings of a map.

    Attributes:
        perplexity: effective number of neighbours; at most a third of the images.
        seed: of the subset of a larger split, and of the sample for the trustworthiness.
        iterations: steps of gradient descent; the first 250 with early exaggeration.
        components: principal components in which distances are computed.
        angle: of the Barnes-Hut approximation; 0 is exact.
        most_images: size of the subset of a larger split.
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
        limits = {"perplexity": 1, "seed": 0, "iterations": _MIN_ITERATIONS, "components": 2, "angle": 0}
        for name, low in {**limits, "most_images": _MIN_IMAGES}.items():
            if getattr(self, name) < low:
                raise ConfigError(name, f"{getattr(self, name)} is out of range", f"it must be at least {low}")


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """A map of a split's images; large distances and the axes have no meaning.

    Attributes:
        split: name of the split.
        index: stable image ids.
        positions: coordinates on the map.
        labels: positions in `classes`.
        predictions: positions in `classes`.
        classes: class names.
        settings: of the map.
        perplexity: after the limit by the number of images.
        kl_divergence: the minimized objective in nats, as estimated by Barnes-Hut.
        trustworthiness: 1 if neighbours on the map are neighbours in the embedding space, 0.5 by chance.
        trustworthiness_n: size of the sample for the trustworthiness.
        trustworthiness_neighbours: neighbours per image for the trustworthiness.
        n_split: images of the split.
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
        """Return everything but the arrays as plain values for JSON."""
        return {
            "split": self.split,
            "n": len(self.index),
            "settings": dataclasses.asdict(self.settings),
            **{name: getattr(self, name) for name in _MEASURES},
        }

    def save(self, run: Run) -> None:
        """Write `inspection/map-SPLIT.npz` and its record.

        Raises:
            RunError: if the folder cannot be written.
        """
        record = {**self.to_dict(), **read_hashes(run, self.split)}
        save_result(run.inspection / f"map-{self.split}.json", record, arrays=to_arrays(self))


def map_embeddings(
    run: Run,
    split: str = "test",
    settings: MapSettings = MapSettings(),
    *,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
) -> EmbeddingMap:
    """Load the run's map of a split; compute and save it if it is absent or of other weights or settings.

    On one machine, the same embeddings and settings give the same map, bit for bit.

    Args:
        run: a finished run.
        split: name of a split of the run's dataset.
        settings: of the map.
        dataset: new location of the run's data, if it has moved; read only if embeddings are missing.
        device: of the prediction of missing embeddings, as in `TrainConfig.device`.
    Raises:
        RunError: if there are no embeddings, too few images, or all embeddings are the same.
        DataError: if the data must be read and cannot be.
    """
    try:
        return load_map(run, split, settings)
    except RunError:
        embeddings = embed_split(run, split, dataset=dataset, device=device)
    result = lay_out_map(embeddings, settings)
    result.save(run)
    return result


def load_map(run: Run, split: str = "test", settings: MapSettings | None = None) -> EmbeddingMap:
    """Read the map stored in a run for a split.

    Args:
        run: a finished run.
        split: name of a split of the run's dataset.
        settings: the required settings; None accepts any.
    Raises:
        RunError: if it is absent or damaged, or belongs to other weights, data or settings.
    """
    classes = load_record(run).classes
    expected = read_hashes(run, split)
    if settings is not None:
        expected["settings"] = dataclasses.asdict(settings)

    def build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> EmbeddingMap:
        fields = {name: record[name] for name in ("split", *_MEASURES)}
        return EmbeddingMap(
            **to_tensors(EmbeddingMap, arrays), **fields, settings=MapSettings(**record["settings"]), classes=classes
        )

    return load_result(run.inspection / f"map-{split}.json", expected, build, remedy="visionlib inspect")


def lay_out_map(embeddings: SplitEmbeddings, settings: MapSettings) -> EmbeddingMap:
    """Compute a map by t-SNE of the principal components of a split's embeddings.

    Raises:
        RunError: if there are fewer than five images, or all embeddings are the same.
    Source: van der Maaten and Hinton 2008, JMLR 9; initialization by principal components: Kobak and Berens 2019,
        doi 10.1038/s41467-019-13056-x.
    """
    n = len(embeddings)
    if n < _MIN_IMAGES:
        raise RunError(embeddings.split, f"{n} images are too few for a map", f"it takes at least {_MIN_IMAGES}")
    selected = random_order(settings.seed, 0, embeddings.index, Stream.MAP_IMAGES)[: settings.most_images].sort().values
    index = embeddings.index[selected]
    rows = embeddings.embeddings[selected]
    if bool((rows == rows[0]).all()):
        raise RunError(embeddings.split, "all images have the same embedding", "the network is broken; train it again")
    perplexity = min(settings.perplexity, (len(selected) - 1) / 3)
    positions, kl_divergence = _run_tsne(rows, perplexity, settings)
    sample = random_order(settings.seed, 0, index, Stream.MAP_TRUST_SAMPLE)[:_TRUST_SAMPLE]
    neighbours = min(_TRUST_NEIGHBOURS, (len(sample) - 1) // 2)
    return EmbeddingMap(
        split=embeddings.split,
        index=index,
        positions=torch.from_numpy(positions),
        labels=embeddings.labels[selected],
        predictions=embeddings.predictions[selected],
        classes=embeddings.classes,
        settings=settings,
        perplexity=perplexity,
        kl_divergence=kl_divergence,
        trustworthiness=_measure_trust(rows[sample], positions[sample.numpy()], neighbours),
        trustworthiness_n=len(sample),
        trustworthiness_neighbours=neighbours,
        n_split=n,
    )


def _run_tsne(
    rows: Float16[Tensor, "n d"], perplexity: float, settings: MapSettings
) -> tuple[NDArray[np.float32], float]:
    """Return positions on the map, and the final KL divergence."""
    # scikit-learn takes a second to import.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n, d = rows.shape
    # Rounding of matrix products depends on the number of threads, so they get one; they are a small part of the work.
    # The gradient uses OpenMP's number of threads and ignores n_jobs.
    with threadpool_limits({"blas": 1, "openmp": _THREADS}):
        reduced = PCA(min(settings.components, n, d), svd_solver="full" if n < d else "covariance_eigh").fit_transform(
            rows.float().numpy()
        )
        start = np.zeros((n, 2), dtype=np.float32)
        start[:, : reduced.shape[1]] = reduced[:, :2] / reduced[:, 0].std() * 1e-4
        tsne = TSNE(
            init=start,
            perplexity=perplexity,
            max_iter=settings.iterations,
            angle=settings.angle,
            random_state=settings.seed,
            n_jobs=_THREADS,
        )
        positions = tsne.fit_transform(reduced)
    return positions.astype(np.float32), float(tsne.kl_divergence_)


def _measure_trust(rows: Float16[Tensor, "m d"], positions: NDArray[np.float32], neighbours: int) -> float:
    """Measure the trustworthiness of a map: Venna and Kaski 2001, doi 10.1007/3-540-44668-0_68."""
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(rows.float().numpy(), positions, n_neighbors=neighbours))
