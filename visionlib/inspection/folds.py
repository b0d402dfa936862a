"""`cross_validate`: what networks say of training images that they did not learn from, fold by fold."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data import Dataset, ImageSplit
from visionlib.data.random import Stream, random_bits
from visionlib.errors import ConfigError, RunError
from visionlib.inference.predictions import load_predictions
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import load_record
from visionlib.inspection.kept import load_kept, save_kept
from visionlib.inspection.out_of_sample import OutOfSample, as_probabilities
from visionlib.inspection.split_embeddings import expect_of
from visionlib.runs import Run, read_json
from visionlib.training.config import TrainConfig
from visionlib.training.train_run import resume, train


def deal_folds(split: ImageSplit, folds: int, seed: int) -> Int64[Tensor, "n"]:
    """Say for every image which fold it is in; a pure function of the seed, and of the images' indices and labels.

    Every class is spread evenly: its numbers in any two folds differ by at most one, and so do the sizes of the folds.

    Args:
        split: the images.
        folds: how many.
        seed: another seed deals otherwise.
    Raises:
        ConfigError: if there are fewer than two folds, or more than images.
    """
    if not 2 <= folds <= len(split):
        raise ConfigError("folds", f"{folds} is out of range", f"ask for 2 to {len(split)}")
    by_chance = random_bits(seed, 0, split.index.cpu(), Stream.FOLDS).argsort(stable=True)
    by_class = by_chance[split.labels.cpu()[by_chance].argsort(stable=True)]
    dealt = torch.empty(len(split), dtype=torch.int64)
    dealt[by_class] = torch.arange(len(split)) % folds
    return dealt


def cross_validate(
    run: Run,
    folds: int = 5,
    *,
    epochs: int | None = None,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
    log: Callable[[str], None] = lambda line: None,
) -> OutOfSample:
    """Train a network for each fold on all other folds, with the run's settings, and score the fold with it.

    A fold that is done is kept under `inspection/folds`, and not trained again; one that was interrupted goes on where
    it was. The validation images that the run held out are folds like the others.

    Args:
        run: a finished run.
        folds: how many parts the training split is cut into; so many networks are trained.
        epochs: for each of them, to be cheaper or better than the run's own number.
        dataset: where the run's data lies now, if it has moved since; it must be the same data.
        device: what to train on, as in `TrainConfig.device`.
        log: takes a line for people.
    Raises:
        ConfigError: if the folds or epochs are out of range, or the settings do not fit the machine.
        RunError: if the run is unfinished or damaged, or its data is not what it was trained with.
        DataError: if the data cannot be read.
        TrainingError: as `train`.
    """
    record = load_record(run)
    own = TrainConfig.from_dict(read_json(run.config)["config"])
    config = own.replace(
        epochs=own.epochs if epochs is None else epochs,
        device=device,
        validation_fraction=0.0,
        test_every=0,
        tensorboard=False,
    )
    source = load_run_data(run, dataset)
    dealt = deal_folds(source.train, folds, config.seed)
    content_hash = expect_of(run, "train")["content_hash"]
    probabilities = torch.zeros(len(source.train), len(source.classes), dtype=torch.float64)
    for fold in range(folds):
        members = (dealt == fold).nonzero().flatten()
        others = (dealt != fold).nonzero().flatten()
        part = Dataset(
            source.name,
            {"train": source.train.subset(others), "test": source.train.subset(members)},
            source.classes,
            options=source.options,
        )
        place = _Place(run, fold + 1, folds, config, content_hash)
        probabilities[members] = _score_fold(place, part, log)
    return OutOfSample(
        split="train",
        source=f"{folds} networks ({record.model}, {config.epochs} epochs), each trained on the other folds",
        index=source.train.index.cpu(),
        labels=source.train.labels.cpu(),
        probabilities=probabilities,
        classes=source.classes,
        content_hash=content_hash,
    )


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a fold's probabilities are kept, and what they depend on."""

    run: Run
    fold: int
    folds: int
    config: TrainConfig
    content_hash: str

    @property
    def name(self) -> str:
        settings = self.config
        return f"folds/{self.folds}-folds-{settings.epochs}-epochs/fold-{self.fold}"

    @property
    def training(self) -> Path:
        """The run folder of the fold's network, while it trains."""
        return self.run.inspection / f"{self.name}.run"

    @property
    def expected(self) -> dict[str, Any]:
        """The settings that the probabilities depend on, and the data."""
        aside = ("device", "precision", "threads", "checkpoint_s")
        settings = {name: value for name, value in self.config.to_dict().items() if name not in aside}
        return {"settings": settings, "content_hash": self.content_hash, "fold": self.fold, "folds": self.folds}


def _score_fold(place: _Place, part: Dataset, log: Callable[[str], None]) -> Float64[Tensor, "m k"]:
    """Give the fold's probabilities: those that are kept, or those of a network that is trained for them."""
    with contextlib.suppress(RunError):
        return load_kept(place.run, place.name, place.expected, _take_probabilities)
    told = f"fold {place.fold} of {place.folds}"
    log(f"{told}: an interrupt saves; the same command goes on")
    trained = _train_fold(place, part, lambda line: log(f"{told}: {line.partition('; go on with')[0]}"))
    predictions = load_predictions(trained).predictions
    probabilities = as_probabilities(predictions.logits, predictions.mirror_logits)
    save_kept(place.run, place.name, {"probabilities": probabilities.numpy()}, place.expected)
    shutil.rmtree(trained.path)
    return probabilities


def _train_fold(place: _Place, part: Dataset, log: Callable[[str], None]) -> Run:
    """Train the fold's network, or go on with it where it was interrupted."""
    begun = Run(place.training)
    if begun.config.is_file() and _is_same(begun, place, part):
        return begun if begun.training.is_file() else resume(begun, dataset=part, log=log)
    if begun.path.exists():
        shutil.rmtree(begun.path)
    return train(part, place.config, out=begun.path, log=log)


def _is_same(begun: Run, place: _Place, part: Dataset) -> bool:
    try:
        record = read_json(begun.config)
    except RunError:
        return False
    is_alike = record["config"] == place.config.to_dict()
    return bool(is_alike and record["dataset"]["content_hash"] == part.content_hash)


def _take_probabilities(tensors: dict[str, Any], record: dict[str, Any]) -> Float64[Tensor, "m k"]:
    probabilities: Tensor = tensors["probabilities"]
    return probabilities
