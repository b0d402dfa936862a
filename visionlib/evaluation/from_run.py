"""`evaluate`: from a finished run to its `Evaluation`, out of the kept predictions or made anew; or from a network."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, overload

from torch import nn

from visionlib.data import Dataset, ImageSplit, hold_out
from visionlib.errors import ConfigError
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.from_model import evaluate_model
from visionlib.evaluation.scoring import NONE_HELD_OUT, HeldOut, score_logits
from visionlib.inference.predictions import load_predictions, predict_split, save_predictions
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel, load_record
from visionlib.runs import Run, open_run, read_json


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
def evaluate(
    subject: Run | str | os.PathLike[str],
    *,
    dataset: str | Path | Dataset | None = None,
    predict: bool = False,
    batch_size: int = 250,
    device: str = "auto",
) -> Evaluation: ...


def evaluate(
    subject: Run | str | os.PathLike[str] | nn.Module, split: Dataset | ImageSplit | None = None, **options: Any
) -> Evaluation:
    """Score a run on its dataset's test split, or a network on a split.

    Args:
        subject: a run or its folder, with the options of `evaluate_run`; or a network, with those of `evaluate_model`.
        split: what to score a network on: images with labels, or a dataset, of which the test split is taken.
        **options: see there.
    Raises:
        ConfigError: if a network comes without a split, or a run with one.
        VisionlibError: as `evaluate_run` and `evaluate_model`.
    """
    if isinstance(subject, nn.Module):
        if split is None:
            raise ConfigError("split", "there is none to score the network on", "give a dataset or one of its splits")
        return evaluate_model(subject, split, **options)
    if split is not None:
        raise ConfigError("split", "a run is scored on its own test split", "say where that lies with dataset=")
    return evaluate_run(subject, **options)


def evaluate_run(
    run: Run | str | os.PathLike[str],
    *,
    dataset: str | Path | Dataset | None = None,
    predict: bool = False,
    batch_size: int = 250,
    device: str = "auto",
) -> Evaluation:
    """Score a run on its dataset's test split, and write `evaluation.json`.

    Kept predictions are used where they belong to these weights; else the network predicts anew, in the precision that
    it was trained in, and they are kept. The network itself is never changed. A temperature is fitted on the images
    that were held out of the training images, if there are any.

    Args:
        run: a run, or its folder.
        dataset: where the run's data lies now, if it has moved since; it must be the same data.
        predict: predict anew even where predictions are kept.
        batch_size: images at a time when predicting.
        device: what to predict on, as in `TrainConfig.device`.
    Raises:
        RunError: if the run is unfinished or damaged, or the data is not what it was trained with.
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
    evaluation.save(run)
    return evaluation


def _load_held_out(run: Run) -> tuple[HeldOut | None, str]:
    """Read the predictions of the images held out of the training, or say why there are none."""
    if run.validation.is_file():
        stored = load_predictions(run, file=run.validation)
        return (stored.predictions.logits, stored.labels), ""
    if _held_out_fraction(read_json(run.config)):
        return None, f"the run lacks {run.validation.name}; make it with `visionlib test --predict`"
    return None, NONE_HELD_OUT


def _predict_again(run: Run, dataset: str | Path | Dataset | None, *, batch_size: int, device: str) -> None:
    config = read_json(run.config)
    source = load_run_data(run, dataset)
    model, weights_sha256 = TrainedModel.from_run(run, device=device), load_record(run).weights_sha256
    predictions = predict_split(model, source.test, batch_size=batch_size)
    save_predictions(run, predictions, source.test, weights_sha256)
    if fraction := _held_out_fraction(config):
        _, held_out = hold_out(source.train, fraction, config["config"]["seed"])
        predictions = predict_split(model, held_out, batch_size=batch_size)
        save_predictions(run, predictions, held_out, weights_sha256, file=run.validation)


def _held_out_fraction(config: Mapping[str, Any]) -> float:
    return float(config["config"].get("validation_fraction", 0))
