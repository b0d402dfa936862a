"""`cross_validate`: out-of-sample probabilities of the training images, by stratified cross-validation."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from visionlib.data import Dataset
from visionlib.data.holdout import assign_folds
from visionlib.errors import ConfigError, RunError
from visionlib.inference.run_data import load_run_data
from visionlib.inspection.out_of_sample import OutOfSample, score_test
from visionlib.inspection.split_embeddings import read_hashes
from visionlib.models.model_record import load_record
from visionlib.models.pretrained import is_pretrained
from visionlib.runs import Run, read_config
from visionlib.runs.results import load_result, save_result
from visionlib.training.config import TrainConfig
from visionlib.training.provenance import read_settings
from visionlib.training.train_run import resume, train

_IGNORED_SETTINGS = ("device", "precision", "threads", "checkpoint_s")
"""A saved fold may differ in these settings: they change its probabilities by rounding at most."""


_SEEDS = 2**63
"""Seeds are below."""


def cross_validate(
    run: Run,
    folds: int = 5,
    *,
    repeats: int = 1,
    epochs: int | None = None,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
    log: Callable[[str], None] = lambda line: None,
) -> OutOfSample:
    """Train a network per fold on all other folds, with the run's settings, and predict the fold with it.

    The probabilities of a finished fold are saved under `inspection/folds`, and it is not trained again. An interrupted
    fold is resumed. Validation images that the run held out are assigned to folds like all others.

    Args:
        run: a finished run.
        folds: parts of the training split; a network is trained for each.
        repeats: of the whole, each with the next seed for folds and trainings; the probabilities are averaged.
        epochs: of each network; by default those of the run.
        dataset: new location of the run's data, if it has moved; it must be the same data.
        device: of the training, as in `TrainConfig.device`.
        log: receives progress messages, line by line.
    Raises:
        ConfigError: if there are too few or too many folds, `repeats` or `epochs` is out of range, or the settings do
            not fit the machine.
        RunError: if the run is unfinished or damaged, or its data differs from the training data.
        DataError: if the data cannot be read.
        TrainingError: as `train`.
    """
    if repeats < 1:
        raise ConfigError("repeats", f"{repeats} is out of range", "it must be at least 1")
    record = load_record(run)
    trained, begun = read_settings(run), read_config(run).init
    init = begun.source if begun is not None and is_pretrained(begun.source) else None
    config = trained.replace(
        epochs=trained.epochs if epochs is None else epochs,
        device=device,
        validation_fraction=0.0,
        test_every=0,
        tensorboard=False,
        # Other weights than those of the package may have been trained on the images of a fold.
        freeze=trained.freeze and init is not None,
        body_rate_factor=1.0 if init is None else trained.body_rate_factor,
    )
    source = load_run_data(run, dataset)
    content_hash = read_hashes(run, "train")["content_hash"]
    probabilities = torch.zeros(len(source.train), len(source.classes), dtype=torch.float64)
    for repeat in range(repeats):
        repeated = config.replace(seed=(config.seed + repeat) % _SEEDS)
        fold = _Fold(run, 0, folds, repeated, content_hash, init, repeat)
        probabilities += _score_folds(fold, source, log) / repeats
    networks = f"{folds} networks" if repeats == 1 else f"{repeats} times {folds} networks"
    return OutOfSample(
        split="train",
        source=f"{networks} ({record.model}, {config.epochs} epochs), each trained on the other folds",
        index=source.train.index.cpu(),
        labels=source.train.labels.cpu(),
        probabilities=probabilities,
        classes=source.classes,
        content_hash=content_hash,
        sources=source.train.sources,
    )


@dataclass(frozen=True)
class _Fold:
    """One fold: the path of its saved probabilities, and everything that they depend on."""

    run: Run
    number: int
    folds: int
    config: TrainConfig
    content_hash: str
    init: str | None
    repeat: int = 0

    @property
    def path(self) -> Path:
        repeat = f"-repeat-{self.repeat + 1}" if self.repeat else ""
        folder = f"{self.folds}-folds-{self.config.epochs}-epochs{repeat}"
        return self.run.inspection / "folds" / folder / f"fold-{self.number}.json"

    @property
    def training_run(self) -> Run:
        """The run of its network, which exists only while it trains."""
        return Run(self.path.with_suffix(".run"))

    @property
    def key(self) -> dict[str, Any]:
        begun = {} if self.init is None else {"init": self.init}
        return {"content_hash": self.content_hash, "fold": self.number, "folds": self.folds, **begun}


def _select_settings(config: TrainConfig) -> dict[str, Any]:
    return {name: value for name, value in config.to_dict().items() if name not in _IGNORED_SETTINGS}


def _score_folds(fold: _Fold, source: Dataset, log: Callable[[str], None]) -> Float64[Tensor, "n k"]:
    """Predict every training image by the network of its fold; the number of `fold` is left open."""
    assigned = assign_folds(source.train, fold.folds, fold.config.seed)
    probabilities = torch.zeros(len(source.train), len(source.classes), dtype=torch.float64)
    for number in range(fold.folds):
        is_member = assigned == number
        members = is_member.nonzero().flatten()
        data = Dataset(
            source.name,
            {"train": source.train.subset((~is_member).nonzero().flatten()), "test": source.train.subset(members)},
            source.classes,
            options=source.options,
        )
        probabilities[members] = _score_fold(dataclasses.replace(fold, number=number + 1), data, log)
    return probabilities


def _score_fold(fold: _Fold, data: Dataset, log: Callable[[str], None]) -> Float64[Tensor, "m k"]:
    """Load the fold's probabilities, or train a network and predict them."""
    with contextlib.suppress(RunError, ConfigError):
        return _load_probabilities(fold)
    title = f"fold {fold.number} of {fold.folds}" + (f", repeat {fold.repeat + 1}" if fold.repeat else "")
    log(f"{title}: an interrupt saves; the same command goes on")
    run = _train_fold(fold, data, lambda line: log(f"{title}: {line.partition('; go on with')[0]}"))
    probabilities = score_test(run).probabilities
    save_result(
        fold.path,
        {"settings": _select_settings(fold.config), **fold.key},
        arrays={"probabilities": probabilities.numpy()},
    )
    shutil.rmtree(run.path)
    return probabilities


def _load_probabilities(fold: _Fold) -> Float64[Tensor, "m k"]:
    """Read the saved probabilities; raise a RunError or ConfigError if they are absent or of other data or settings."""

    def build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Tensor:
        # Parsed by this version first: earlier ones stored settings that have been removed since.
        if _select_settings(TrainConfig.from_dict(record["settings"])) != _select_settings(fold.config):
            raise ValueError("it has other settings")
        return torch.from_numpy(arrays["probabilities"])

    return load_result(fold.path, fold.key, build, remedy="visionlib inspect")


def _train_fold(fold: _Fold, data: Dataset, log: Callable[[str], None]) -> Run:
    """Train the fold's network, or resume its interrupted training."""
    run = fold.training_run
    if run.config.is_file() and _is_same_training(run, fold, data):
        return run if run.training.is_file() else resume(run, dataset=data, log=log)
    if run.path.exists():
        shutil.rmtree(run.path)
    return train(data, fold.config, init=fold.init, out=run.path, log=log)


def _is_same_training(run: Run, fold: _Fold, data: Dataset) -> bool:
    try:
        record, settings = read_config(run), read_settings(run)
    except RunError:
        return False
    is_same_start = (record.init.source if record.init else None) == fold.init
    return is_same_start and settings == fold.config and record.dataset.content_hash == data.content_hash
