"""`measure_quality`: every figure of every method, for one network and some images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError, RunError
from visionlib.explanation.explain import load_subject
from visionlib.explanation.methods import METHODS, MapMaker, make_map_maker
from visionlib.explanation.quality.correlation import correlate_ranks
from visionlib.explanation.quality.grid_game import choose_grids, play_grids
from visionlib.explanation.quality.localisation import point_at_objects, share_of_objects, share_on_objects
from visionlib.explanation.quality.perturbation import BASELINE, area_under, measure_curves
from visionlib.explanation.quality.result import MapQuality, MethodQuality, average, share
from visionlib.explanation.quality.sanity import compare_with_scrambled
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.prediction import predict_logits
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import load_record
from visionlib.progress import progress_bar
from visionlib.runs import Run, write_json

_AT_ONCE = 100
_MOST_SCRAMBLED = 64
"""Images that the sanity check is made on: it takes maps of the network scrambled up to each of its parts."""
_IMAGES_PER_GRID = 10

SLOW_METHODS = ("score-cam",)
"""Left out unless they are named: they take a pass through the network for every channel of every image."""


def measure_quality(
    model: nn.Module,
    split: ImageSplit,
    makers: Mapping[str, MapMaker],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    side_px: int | None = None,
    n: int = 200,
    seed: int = 0,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> MapQuality:
    """Measure how far the maps of several methods can be believed.

    The images are chosen by seed; explained is the class that the network says. The network is left as it was.

    Args:
        model: gives logits.
        split: images, with masks if it is known which pixels belong to the object.
        makers: by name, what makes the maps.
        mean: per channel, as fractions of 255.
        std: per channel, as fractions of 255.
        side_px: height of the network's inputs; None for the images as they are.
        n: images to measure on; all if there are fewer.
        seed: decides which, and the scrambling.
        precision: of the network when its class is asked.
    Raises:
        ConfigError: if n is below 1, or there is no image or method.
    """
    if n < 1 or not len(split) or not makers:
        raise ConfigError("n", f"{n} of {len(split)} images by {len(makers)} methods is nothing", "give some of each")
    device = next(model.parameters(), torch.zeros(())).device
    chosen = random_order(seed, 0, split.index.cpu(), Stream.QUALITY_IMAGES)[:n].sort().values
    part = split.subset(chosen.to(split.images.device))
    settings = {"mean": mean, "std": std, "side_px": side_px}
    every = predict_logits(model, split.images, precision=precision, **settings).cpu()
    grids = choose_grids(every.softmax(1), split.labels.cpu(), split.index.cpu(), max(1, n // _IMAGES_PER_GRID), seed)
    fours, grid_places = _gather_grids(split, grids)
    inputs, four_inputs = (prepare_inputs(one.images.to(device), mean, std, side_px) for one in (part, fours))
    classes = every[chosen].argmax(1).to(device)
    masks = None if part.masks is None else _fit_masks(part.masks.cpu(), (inputs.shape[2], inputs.shape[3]))

    def ask(shown: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return torch.cat([model(chunk).float().softmax(1) for chunk in torch.split(shown, _AT_ONCE)])

    maps: dict[str, Tensor] = {}
    measured = []
    was_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with progress_bar("measuring maps", len(makers), "methods") as advance:
            for done, (name, maker) in enumerate(makers.items(), 1):

                def make(network: nn.Module, shown: Tensor, explained: Tensor, maker: MapMaker = maker) -> Tensor:
                    chunks = zip(torch.split(shown, _AT_ONCE), torch.split(explained, _AT_ONCE), strict=True)
                    return torch.cat([maker(network, *chunk).cpu() for chunk in chunks])

                maps[name] = make(model, inputs, classes)
                some = slice(_MOST_SCRAMBLED)
                scrambled = compare_with_scrambled(
                    make, model, inputs[some], classes[some], maps[name][some], seed=seed
                )
                last = list(scrambled.values())[-1]
                hits = None if masks is None else point_at_objects(maps[name], masks)
                measured.append(
                    MethodQuality(
                        method=name,
                        layers=tuple(layer.name for layer in maker.layers),
                        resolution=(maps[name].shape[1], maps[name].shape[2]),
                        sanity=average(last),
                        scrambling={stage: _mean(values) for stage, values in scrambled.items()},
                        pointing_game=share(hits),
                        energy_in_mask=average(None if masks is None else share_on_objects(maps[name], masks)),
                        grid_pointing=average(
                            play_grids(make, model, four_inputs, fours.labels.to(device), grid_places)
                        ),
                        deletion=average(
                            area_under(measure_curves(ask, inputs, classes, maps[name], "deletion", seed=seed))
                        ),
                        insertion=average(
                            area_under(measure_curves(ask, inputs, classes, maps[name], "insertion", seed=seed))
                        ),
                        agreement={},
                        constant_fraction=float((maps[name].amax((1, 2)) == maps[name].amin((1, 2))).float().mean()),
                    )
                )
                advance(done)
    finally:
        for module in was_training:
            module.training = True
    whole = tuple(sorted((_add_agreement(one, maps) for one in measured), key=lambda one: one.rank_key))
    return MapQuality(whole, average(None if masks is None else share_of_objects(masks)), len(part), seed, BASELINE)


def measure_run_quality(
    run: Run,
    *,
    methods: Sequence[str] | None = None,
    n: int = 200,
    seed: int = 0,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
) -> MapQuality:
    """Measure the maps of a run's network on its test images, and keep the figures in the run.

    Args:
        run: finished.
        methods: names; default: all but the slowest.
        n: images.
        seed: decides which, and the scrambling.
        dataset: where the run's data lies now, if it has moved.
        device: what to compute on.
    Raises:
        ConfigError: if there is no such method.
        RunError: if the run is unfinished, or its data is another.
    """
    split = load_run_data(run, dataset).test
    subject = load_subject(run, device=device)
    names = list(methods or (name for name in METHODS if name not in SLOW_METHODS))
    side_px = subject.side_px or split.image_size[0]
    width = prepare_inputs(split.images[:1], subject.mean, subject.std, side_px).shape[3]
    size = (split.channels, side_px, width)
    makers = {name: make_map_maker(name, subject.model, size, precision=subject.precision) for name in names}
    with compute_environment(choose_compute(device)):
        found = measure_quality(
            subject.model,
            split,
            makers,
            mean=subject.mean,
            std=subject.std,
            side_px=side_px,
            n=n,
            seed=seed,
            precision=subject.precision,
        )
    record = {
        "weights_sha256": load_record(run).weights_sha256,
        "content_hash": split.content_hash,
        "split": "test",
        **found.to_dict(),
    }
    try:
        run.explanations.mkdir(exist_ok=True)
        write_json(run.explanations / "quality.json", record)
    except OSError as error:
        raise RunError(
            run.explanations, f"cannot be written ({error.strerror})", "copy the run to where you may write"
        ) from error
    return found


def _gather_grids(split: ImageSplit, grids: Int64[Tensor, "m 4"]) -> tuple[ImageSplit, Int64[Tensor, "m 4"]]:
    """Take the images that grids are made of, and say where in them those of each grid are."""
    return split.subset(grids.flatten().to(split.images.device)), torch.arange(grids.numel()).view(-1, 4)


def _fit_masks(masks: Bool[Tensor, "n h w"], size: tuple[int, int]) -> Bool[Tensor, "n ih iw"]:
    """Shrink masks to the network's inputs: a pixel belongs to the object if half of it does."""
    if tuple(masks.shape[1:]) == size:
        return masks
    return F.adaptive_avg_pool2d(masks[:, None].float(), size)[:, 0] >= 0.5


def _mean(values: Float32[Tensor, "n"]) -> float | None:
    figure = average(values)
    return None if figure is None else figure.value


def _add_agreement(one: MethodQuality, maps: Mapping[str, Tensor]) -> MethodQuality:
    others = {
        name: _mean(correlate_ranks(maps[one.method], other)) for name, other in maps.items() if name != one.method
    }
    return MethodQuality(**{**vars(one), "agreement": others})
