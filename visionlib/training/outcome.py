"""What a finished training leaves in its run: weights, layer table, predictions and `training.json`."""

import time
from typing import Any

import torch

from visionlib.data import Dataset, ImageSplit
from visionlib.inference.device import compute_environment
from visionlib.inference.novelty import fit_novelty
from visionlib.inference.predictions import SplitPredictions, predict_split, save_predictions
from visionlib.inference.run_model import save_model, save_summary
from visionlib.inference.run_sources import save_sources
from visionlib.inference.temperature import fit_temperature
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.model_record import ModelRecord, Novelty
from visionlib.runs import Run, read_config, write_json, write_json_lines
from visionlib.training.baseline import compare_with_largest_class
from visionlib.training.checkpoint import Progress
from visionlib.training.job import TrainingJob
from visionlib.training.loop import accuracy

_LEAST_HELD_OUT, _MOST_TRAINED = 100, 2000
"""With fewer held-out images, as many training images as that give the threshold of what is unusual."""


def save_outcome(
    run: Run,
    model: TrainedModel,
    job: TrainingJob,
    source: Dataset,
    validation: ImageSplit,
    progress: Progress,
) -> dict[str, Any]:
    """Write weights, layer table, predictions, and at last `training.json`; return the content of that."""
    from visionlib.training.history_picture import save_history_picture  # matplotlib takes a second to import

    started, history = time.perf_counter(), progress.history
    held_out = predict_split(model, validation, compute=job.compute) if len(validation) else None
    record = ModelRecord(
        job.config.model,
        model.classes,
        model.channels,
        job.final_input_size,
        model.mean,
        model.std,
        image_size=source.train.image_size,
        resize=source.options.get("resize") or "crop",
        temperature=None if held_out is None else fit_temperature(held_out.logits.double(), validation.labels.cpu()),
        novelty=_fit_novelty(model, job, held_out),
    )
    record = save_model(run, model.network, record)
    save_summary(run, model.network, record)
    save_sources(run, source)
    if held_out is not None:
        save_predictions(run, held_out, validation, record.weights_sha256, file=run.validation)
    outcome = _summarize_history(job, history)
    if "test" in source.splits and len(source.test):
        predictions = predict_split(model, source.test, compute=job.compute)
        save_predictions(run, predictions, source.test, record.weights_sha256)
        outcome["test_accuracy"] = accuracy(predictions.logits, source.test.labels)
        history[-1].update(test_accuracy=outcome["test_accuracy"], test_n=len(source.test))
        write_json_lines(run.history, history)
    save_history_picture(run)
    scored = validation if outcome["test_accuracy"] is None else source.test
    scores = (outcome["test_accuracy"], outcome["validation_accuracy"])
    outcome |= {
        **compare_with_largest_class(next((s for s in scores if s is not None), None), scored),
        **_describe_pace(job, progress),
        "seconds_loading": read_config(run).seconds_loading,
        "seconds_startup": progress.seconds_startup,
        "seconds_predicting": time.perf_counter() - started,
        "seconds_total": progress.seconds_total,
    }
    write_json(run.training, outcome)
    return outcome


def _fit_novelty(model: TrainedModel, job: TrainingJob, held_out: SplitPredictions | None) -> Novelty | None:
    """Find what tells a picture unlike all training images; from some of these, where few images were held out."""
    if held_out is not None and len(held_out.logits) >= _LEAST_HELD_OUT:
        return fit_novelty(held_out.logits, is_held_out=True)
    draw = torch.Generator().manual_seed(job.config.seed)
    positions = torch.randperm(len(job.split), generator=draw)[:_MOST_TRAINED]
    with compute_environment(job.compute):
        logits = model.predict(job.split.gather(positions)).logits
    return fit_novelty(logits, is_held_out=False)


def _summarize_history(job: TrainingJob, history: list[dict[str, Any]]) -> dict[str, Any]:
    n, seconds = len(job.split), sum(record["seconds"] for record in history)
    images = sum(record.get("images", n) for record in history)
    return {
        # The last one may be a part of an epoch, where a time budget ended it.
        "epochs": len(history) if images == len(history) * n else round(images / n, 4),
        "images": images,
        "seconds_training": seconds,
        "images_per_second": images / seconds,
        "training_loss": history[-1]["loss"],
        "validation_accuracy": history[-1]["validation_accuracy"],
        "test_accuracy": None,
    }


def _describe_pace(job: TrainingJob, progress: Progress) -> dict[str, Any]:
    """Return the pace of a run that had one, to repeat it, and what became of its time budget."""
    if job.planned is None:
        return {}
    pace = {"pace": (progress.pace or job.planned).to_list()}
    if job.budget is None:
        return pace
    measuring = job.budget.seconds_measuring
    used = measuring + progress.seconds_to_last_step
    return {
        **pace,
        "time_budget": {"max_seconds": job.budget.max_s, "seconds_measuring": measuring, "seconds_used": used},
    }


def describe_times(outcome: dict[str, Any]) -> str:
    """Tell the time of a budget apart from that of everything else."""
    budget = outcome["time_budget"]
    return (
        f"{budget['seconds_used']:.1f} of {budget['max_seconds']:g} s used; besides: loading the data "
        f"{outcome['seconds_loading']:.1f} s, start-up {outcome['seconds_startup']:.1f} s, "
        f"predictions and files {outcome['seconds_predicting']:.1f} s"
    )
