"""`evaluate`: from a finished run to its `Evaluation`, out of the kept predictions or made anew."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionlib.data import Dataset
from visionlib.evaluation.evaluation import Evaluation, score_logits
from visionlib.runs import Run, open_run, read_json, write_json
from visionlib.training.config import Precision
from visionlib.training.device import choose_compute
from visionlib.training.predictions import load_predictions, predict_split, save_predictions
from visionlib.training.run_data import load_run_data
from visionlib.training.trained_model import load_model, load_record


def evaluate(
    run: Run | str | os.PathLike[str],
    *,
    dataset: str | Path | Dataset | None = None,
    predict: bool = False,
    batch_size: int = 250,
    device: str = "auto",
) -> Evaluation:
    """Score a run on its dataset's test split, and write `evaluation.json`.

    Kept predictions are used where they belong to these weights; else the network predicts anew, in the precision that
    it was trained in, and they are kept. The network itself is never changed.

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
    record, weights_hash = load_record(run)
    if predict or not run.predictions.is_file():
        _predict_again(run, dataset, weights_hash, batch_size=batch_size, device=device)
    elif dataset is not None:
        load_run_data(run, dataset)
    predictions, labels, content_hash = load_predictions(run, weights_hash=weights_hash)
    evaluation = score_logits(predictions.logits, labels, record.classes, mirror_logits=predictions.mirror_logits)
    write_json(
        run.evaluation,
        {
            "split": "test",
            "content_hash": content_hash,
            "weights_sha256": weights_hash,
            **evaluation.to_dict(),
        },
    )
    return evaluation


def _predict_again(
    run: Run, dataset: str | Path | Dataset | None, weights_hash: str, *, batch_size: int, device: str
) -> None:
    precision = _trained_precision(read_json(run.config))
    source = load_run_data(run, dataset)
    compute = choose_compute(device, precision)
    model, record = load_model(run)
    predictions = predict_split(model.to(compute.device), source.test, record, compute, batch_size=batch_size)
    save_predictions(run, predictions, source.test, weights_hash)


def _trained_precision(config: Mapping[str, Any]) -> Precision:
    return "bf16" if config["compute"]["precision"] == "bf16" else "fp32"
