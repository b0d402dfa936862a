"""`evaluate`: the `Evaluation` of a run, from its stored predictions or new ones, or of a network in memory."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

from torch import nn

from visionlib.data import Dataset, ImageSplit, hold_out
from visionlib.errors import ConfigError
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.scoring import NONE_HELD_OUT, score_logits
from visionlib.evaluation.selective import SelectiveAveraging, choose_threshold, score_selectively
from visionlib.evaluation.temperature import HeldOut
from visionlib.inference.predictions import StoredPredictions, load_predictions, predict_split, save_predictions
from visionlib.inference.run_data import load_run_data
from visionlib.inference.run_sources import save_sources
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.model_record import load_record
from visionlib.runs import Run, open_run, read_config

_NO_TEMPERATURE = "a network in memory has no images that were held out of its training; evaluate a run to get it"


@overload
def evaluate(
    subject: nn.Module,
    split: Dataset | ImageSplit,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    side_px: int | None = None,
    batch_size: int = 250,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> Evaluation: ...


@overload
def evaluate(subject: TrainedModel, split: Dataset | ImageSplit, *, batch_size: int = 250) -> Evaluation: ...


@overload
def evaluate(
    subject: Run | str | os.PathLike[str],
    *,
    dataset: str | Path | Dataset | None = None,
    predict: bool = False,
    batch_size: int = 250,
    device: str = "auto",
    selective: bool = False,
) -> Evaluation: ...


def evaluate(
    subject: Run | str | os.PathLike[str] | nn.Module | TrainedModel,
    split: Dataset | ImageSplit | None = None,
    **options: Any,
) -> Evaluation:
    """Evaluate a run on the test split of its dataset, or a network on a split; neither is changed.

    Args:
        subject: a run or its folder; a network; or a network with its preprocessing.
        split: for a network: images with labels, or a dataset, whose test split is taken. Its training split supplies
            `mean` and `std` where they are not given.
        **options: of a run, see `evaluate_run`; of a network with its preprocessing, `batch_size`; of a bare network
            also `mean` and `std` per channel, as fractions of 255, `side_px`, the height of its inputs if it works on
            shrunk images, and `precision` of convolutions and products.
    Raises:
        ConfigError: if a network comes without a split or without `mean` and `std`, or a run with a split.
        DataError: if the dataset has no test split.
        ModelError: if the network does not return a row of finite logits per image, one for each class.
        VisionlibError: as `evaluate_run`.
    """
    if isinstance(subject, nn.Module | TrainedModel):
        batch_size = options.pop("batch_size", 250)
        return evaluate_model(*prepare_subject(subject, split, **options), batch_size=batch_size)
    if split is not None:
        raise ConfigError("split", "a run is scored on its own test split", "say where that lies with dataset=")
    return evaluate_run(subject, **options)


def evaluate_model(model: TrainedModel, split: ImageSplit, *, batch_size: int = 250) -> Evaluation:
    """Evaluate a network on a split, without and with mirror averaging.

    Raises:
        ModelError: if the network does not return a row of finite logits per image, one for each class.
    """
    predictions = predict_split(model, split, batch_size=batch_size)
    return score_logits(
        predictions.logits,
        split.labels.cpu(),
        split.classes,
        mirror_logits=predictions.mirror_logits,
        note=_NO_TEMPERATURE,
    )


def evaluate_run(
    run: Run | str | os.PathLike[str],
    *,
    dataset: str | Path | Dataset | None = None,
    predict: bool = False,
    batch_size: int = 250,
    device: str = "auto",
    selective: bool = False,
) -> Evaluation:
    """Evaluate a run on the test split of its dataset, and write `evaluation.json`.

    Stored predictions are used if they belong to the run's weights. Without any, the network predicts in the precision
    of its training, and the predictions are stored with the names of the images' files. A temperature is fitted on the
    held-out training images, if there are any.

    Args:
        run: a run, or its folder.
        dataset: new location of the run's data, if it has moved; it must be the same data.
        predict: predict again even where predictions are stored.
        batch_size: images per forward pass.
        device: to predict on, as in `TrainConfig.device`.
        selective: also score six views of the images that the network is unsure of, see `score_selectively`. The
            threshold comes from the held-out training images; it is a fixed 0.9 without any.
    Raises:
        RunError: if the run is unfinished or damaged, or its data differs from the training data.
        DataError: if the data must be read and cannot be.
    """
    run = run if isinstance(run, Run) else open_run(run)
    load_record(run)  # a damaged run is reported before its data is read
    if predict or not run.predictions.is_file():
        _predict_again(run, dataset, batch_size=batch_size, device=device)
    elif dataset is not None:
        load_run_data(run, dataset)
    stored = load_predictions(run)
    held_out, note = _load_held_out(run)
    evaluation = score_logits(
        stored.predictions.logits,
        stored.labels,
        stored.record.classes,
        mirror_logits=stored.predictions.mirror_logits,
        held_out=held_out,
        note=note,
    )
    if selective:
        averaging = _average_unsure(stored, held_out, dataset, batch_size=batch_size, device=device)
        evaluation = replace(evaluation, selective=averaging)
    evaluation.save(run)
    return evaluation


def _average_unsure(
    stored: StoredPredictions,
    held_out: HeldOut | None,
    dataset: str | Path | Dataset | None,
    *,
    batch_size: int,
    device: str,
) -> SelectiveAveraging:
    """Predict more views of the unsure test images."""
    images = stored.load_images(dataset).images
    model = TrainedModel.from_run(stored.run, device=device)
    threshold = choose_threshold(held_out)
    return score_selectively(model, images, stored.labels, stored.predictions.logits, threshold, batch_size=batch_size)


def prepare_subject(
    subject: nn.Module | TrainedModel,
    split: Dataset | ImageSplit | None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    side_px: int | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> tuple[TrainedModel, ImageSplit]:
    """Complete a network in memory by its preprocessing, and choose the images to score it on; see `evaluate`.

    Raises:
        ConfigError: if there is no split, or preprocessing is missing, or given twice.
        DataError: if a dataset has no test split.
    """
    if split is None:
        raise ConfigError("split", "there is none to score the network on", "give a dataset or one of its splits")
    images = split.test if isinstance(split, Dataset) else split
    if isinstance(subject, TrainedModel):
        if (mean, std, side_px, precision) != (None, None, None, "fp32"):
            raise ConfigError(
                "preprocessing", "comes with a TrainedModel", "leave out mean, std, side_px and precision"
            )
        return subject, images
    if isinstance(split, Dataset):
        if mean is None:
            mean = split.train.mean
        if std is None:
            std = tuple(value or 1.0 for value in split.train.std)  # a constant channel is only shifted
    return TrainedModel.from_network(subject, mean, std, side_px, classes=images.classes, precision=precision), images


def _load_held_out(run: Run) -> tuple[HeldOut | None, str]:
    """Read the predictions of the held-out training images, or explain why there are none."""
    if run.validation.is_file():
        stored = load_predictions(run, file=run.validation)
        return (stored.predictions.logits, stored.labels), ""
    if _held_out_fraction(run):
        return None, f"the run lacks {run.validation.name}; make it with `visionlib test --predict`"
    return None, NONE_HELD_OUT


def _predict_again(run: Run, dataset: str | Path | Dataset | None, *, batch_size: int, device: str) -> None:
    source = load_run_data(run, dataset)
    model, weights_sha256 = TrainedModel.from_run(run, device=device), load_record(run).weights_sha256
    predictions = predict_split(model, source.test, batch_size=batch_size)
    save_sources(run, source)
    save_predictions(run, predictions, source.test, weights_sha256)
    if fraction := _held_out_fraction(run):
        _, held_out = hold_out(source.train, fraction, read_config(run).config.seed)
        predictions = predict_split(model, held_out, batch_size=batch_size)
        save_predictions(run, predictions, held_out, weights_sha256, file=run.validation)


def _held_out_fraction(run: Run) -> float:
    return read_config(run).config.validation_fraction
