"""`measure_quality`: measures of the reliability of several methods for one network and a sample of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError
from visionlib.eval_mode import eval_mode
from visionlib.explanation.methods import METHODS, MapMaker, make_map_maker
from visionlib.explanation.quality.complexity import measure_entropy, measure_gini
from visionlib.explanation.quality.correlation import correlate_ranks
from visionlib.explanation.quality.estimate import Estimate, average, fraction
from visionlib.explanation.quality.grid_game import choose_grids, play_grids
from visionlib.explanation.quality.localization import fraction_on_objects, mask_fractions, point_at_objects
from visionlib.explanation.quality.perturbation import BASELINE, area_under, measure_curves
from visionlib.explanation.quality.result import MapQuality, MethodQuality
from visionlib.explanation.quality.sanity import compare_with_randomized
from visionlib.explanation.quality.sensitivity import measure_sensitivity
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.prediction import run_network
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel
from visionlib.progress import progress_bar
from visionlib.runs import Run

_BATCH_SIZE = 100
_MOST_REPEATED = 64
"""Largest number of images whose maps are made again: for each part of the network, and for each sample of noise."""
_IMAGES_PER_GRID = 10

SLOW_METHODS = ("score-cam",)
"""Not measured by default: they need a forward pass for every channel of every image."""


@dataclass(frozen=True, eq=False)
class _Sample:
    """The images that all methods are measured on.

    Attributes:
        inputs: normalized images.
        classes: predicted, which are explained.
        masks: of the objects, at the size of the inputs; None where they are not known.
        grid_inputs: normalized images of the grids.
        grid_labels: their classes.
        grids: positions in `grid_inputs` of the four images of each grid.
    """

    inputs: Float32[Tensor, "n c h w"]
    classes: Int64[Tensor, "n"]
    masks: Bool[Tensor, "n h w"] | None
    grid_inputs: Float32[Tensor, "g c h w"]
    grid_labels: Int64[Tensor, "g"]
    grids: Int64[Tensor, "m 4"]


def measure_quality(
    model: TrainedModel, split: ImageSplit, makers: Mapping[str, MapMaker], *, n: int = 200, seed: int = 0
) -> MapQuality:
    """Measure the reliability of the maps of several methods.

    The images are chosen by seed, and the maps explain the predicted class. The network is not changed.

    Args:
        model: the network and its preprocessing.
        split: images, with masks of the objects if these are known.
        makers: of the maps, by method.
        n: number of images; all if there are fewer.
        seed: of the images and of the randomized weights.
    Raises:
        ConfigError: if n is below 1, or there is no image or method.
    """
    if n < 1 or not len(split) or not makers:
        raise ConfigError("n", f"{n} of {len(split)} images by {len(makers)} methods is nothing", "give some of each")
    sample = _draw_sample(model, split, n, seed)
    maps: dict[str, Tensor] = {}
    measured = []
    with progress_bar("measuring maps", len(makers), "methods") as advance:
        for done, (name, maker) in enumerate(makers.items(), 1):
            maps[name], gaps = _make_maps(maker, model.network, sample.inputs, sample.classes)
            measured.append(_measure_method(name, maker, maps[name], gaps, model, sample, seed))
            advance(done)
    with_agreement = [replace(one, agreement=_correlate_methods(one.method, maps)) for one in measured]
    ranked = tuple(sorted(with_agreement, key=lambda one: one.rank_key))
    mask_fraction = average(None if sample.masks is None else mask_fractions(sample.masks))
    return MapQuality(ranked, mask_fraction, len(sample.inputs), seed, BASELINE, split.content_hash)


def measure_run_quality(
    run: Run,
    *,
    methods: Sequence[str] | None = None,
    n: int = 200,
    seed: int = 0,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
) -> MapQuality:
    """Measure the maps of a run's network on its test images, and store the result in the run.

    Args:
        run: finished.
        methods: names; by default all but the slow ones.
        n: number of images.
        seed: of the images and of the randomized weights.
        dataset: new location of the run's data, if it has moved.
        device: as in `TrainConfig.device`.
    Raises:
        ConfigError: if the method is unknown.
        RunError: if the run is unfinished, or its data differs from the training data.
    """
    model = TrainedModel.from_run(run, device=device)
    split = load_run_data(run, dataset).test
    names = methods or [name for name in METHODS if name not in SLOW_METHODS]
    size = model.input_size(split.images)
    makers = {name: make_map_maker(name, model.network, size, precision=model.precision) for name in names}
    with compute_environment(choose_compute(str(model.device), model.precision)):
        quality = measure_quality(model, split, makers, n=n, seed=seed)
    quality.save(run)
    return quality


def _draw_sample(model: TrainedModel, split: ImageSplit, n: int, seed: int) -> _Sample:
    logits = model.predict(split.images).logits.cpu()
    chosen = random_order(seed, 0, split.index.cpu(), Stream.QUALITY_IMAGES)[:n].sort().values
    images = split.subset(chosen.to(split.images.device))
    inputs = model.prepare(images.images)
    grids = choose_grids(logits.softmax(1), split.labels.cpu(), split.index.cpu(), max(1, n // _IMAGES_PER_GRID), seed)
    grid_images = split.subset(grids.flatten().to(split.images.device))
    return _Sample(
        inputs,
        logits[chosen].argmax(1).to(model.device),
        None if images.masks is None else _shrink_masks(images.masks.cpu(), (inputs.shape[2], inputs.shape[3])),
        model.prepare(grid_images.images),
        grid_images.labels.to(model.device),
        torch.arange(grids.numel()).view(-1, 4),
    )


def _measure_method(
    name: str, maker: MapMaker, maps: Tensor, gaps: Tensor | None, model: TrainedModel, sample: _Sample, seed: int
) -> MethodQuality:
    rough = replace(maker, is_rough=True)

    def make_maps(network: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
        return _make_maps(rough, network, inputs, classes)[0]

    def predict(inputs: Tensor) -> Tensor:
        with eval_mode(model.network, precision=model.precision) as network:
            return torch.cat(
                [run_network(network, chunk).float().softmax(1) for chunk in torch.split(inputs, _BATCH_SIZE)]
            )

    def measure_area(kind: Literal["deletion", "insertion"]) -> Estimate | None:
        return average(area_under(measure_curves(predict, sample.inputs, sample.classes, maps, kind, seed=seed)))

    inputs, classes = sample.inputs[:_MOST_REPEATED], sample.classes[:_MOST_REPEATED]
    before = maps[:_MOST_REPEATED] if gaps is None else make_maps(model.network, inputs, classes)
    correlations = compare_with_randomized(make_maps, model.network, inputs, classes, before, seed=seed)
    sensitivities = measure_sensitivity(make_maps, model.network, inputs, classes, before, std=model.std, seed=seed)
    masks = sample.masks
    return MethodQuality(
        method=name,
        layers=tuple(layer.name for layer in maker.layers),
        resolution=(maps.shape[1], maps.shape[2]),
        sanity=average(list(correlations.values())[-1]),
        sanity_by_part={part: _mean(values) for part, values in correlations.items()},
        pointing_game=fraction(None if masks is None else point_at_objects(maps, masks)),
        energy_in_mask=average(None if masks is None else fraction_on_objects(maps, masks)),
        grid_pointing=average(
            play_grids(make_maps, model.network, sample.grid_inputs, sample.grid_labels, sample.grids)
        ),
        deletion=measure_area("deletion"),
        insertion=measure_area("insertion"),
        agreement={},
        constant_fraction=float((maps.amax((1, 2)) == maps.amin((1, 2))).float().mean()),
        sensitivity=average(sensitivities),
        sparseness=average(measure_gini(maps)),
        complexity=average(measure_entropy(maps)),
        completeness_gap=average(gaps),
    )


def _make_maps(maker: MapMaker, network: nn.Module, inputs: Tensor, classes: Tensor) -> tuple[Tensor, Tensor | None]:
    """Make maps in batches with their gaps of completeness, and move both to the CPU."""
    chunks = zip(torch.split(inputs, _BATCH_SIZE), torch.split(classes, _BATCH_SIZE), strict=True)
    maps, gaps = zip(*(maker.make(network, *chunk) for chunk in chunks), strict=True)
    known = [gap.cpu() for gap in gaps if gap is not None]
    return torch.cat([one.cpu() for one in maps]), torch.cat(known) if known else None


def _shrink_masks(masks: Bool[Tensor, "n h w"], size: tuple[int, int]) -> Bool[Tensor, "n ih iw"]:
    """Shrink masks to the network's inputs: a pixel belongs to the object if half of it does."""
    if tuple(masks.shape[1:]) == size:
        return masks
    return F.adaptive_avg_pool2d(masks[:, None].float(), size)[:, 0] >= 0.5


def _mean(values: Float32[Tensor, "n"]) -> float | None:
    estimate = average(values)
    return None if estimate is None else estimate.value


def _correlate_methods(method: str, maps: Mapping[str, Tensor]) -> dict[str, float | None]:
    return {name: _mean(correlate_ranks(maps[method], other)) for name, other in maps.items() if name != method}
