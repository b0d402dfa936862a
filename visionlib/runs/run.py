"""The run folder: the path of each file."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from visionlib.errors import RunError
from visionlib.runs.json_records import read_json


@dataclass(frozen=True)
class Run:
    """A run folder, by its path; the attributes name its files whether they exist yet or not."""

    path: Path

    @property
    def config(self) -> Path:
        """Resolved configuration, seed, dataset name and content hash, versions, device, command line."""
        return self.path / "config.json"

    @property
    def corrections(self) -> Path:
        """Training images that were left out or relabelled by `--without`; exists if some were."""
        return self.path / "corrections.json"

    @property
    def history(self) -> Path:
        """One JSON line per epoch."""
        return self.path / "history.jsonl"

    @property
    def history_picture(self) -> Path:
        """The history as curves; `visionlib train` draws it at the end."""
        return self.path / "history.png"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files; exists if the settings ask for it."""
        return self.path / "tensorboard"

    @property
    def training(self) -> Path:
        """Result of the training: epochs, seconds, images per second, test accuracy; exists once a run is finished."""
        return self.path / "training.json"

    @property
    def resume(self) -> Path:
        """The last checkpoint: everything that an exact resume needs."""
        return self.path / "resume.pt"

    @property
    def weights(self) -> Path:
        """The weights to use."""
        return self.path / "model.safetensors"

    @property
    def model(self) -> Path:
        """Architecture, classes, normalization, input size, and the SHA-256 of `weights`."""
        return self.path / "model.json"

    @property
    def network_source(self) -> Path:
        """Copy of a user-defined network's source, to compare; the name keeps it from being imported."""
        return self.path / "network.py.txt"

    @property
    def predictions(self) -> Path:
        """Per test image: index, label, logits, logits of the mirror image, embedding."""
        return self.path / "predictions.npz"

    @property
    def validation(self) -> Path:
        """The same for the training images held out for validation; exists if some were."""
        return self.path / "validation.npz"

    @property
    def sources(self) -> Path:
        """Files that the images were read from, with `sources.npz` beside it; exists if the dataset has files."""
        return self.path / "sources.json"

    @property
    def summary(self) -> Path:
        """The layer table of `visionlib summary RUN`, at the run's own input size."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """The page of `visionlib report`."""
        return self.path / "report.html"

    @property
    def evaluation(self) -> Path:
        """Every number of `visionlib test`."""
        return self.path / "evaluation.json"

    @property
    def stress(self) -> Path:
        """Result of `visionlib stress`: accuracy and calibration on corrupted test images."""
        return self.path / "stress.json"

    @property
    def groups(self) -> Path:
        """The weak groups of `visionlib groups`."""
        return self.path / "groups.json"

    @property
    def shortcuts(self) -> Path:
        """Result of `visionlib shortcuts`: properties that give a class away, and those that the network relies on."""
        return self.path / "shortcuts.json"

    @property
    def inspection(self) -> Path:
        """Folder of the results of `visionlib inspect`: embedding map, nearest images, label candidates, folds."""
        return self.path / "inspection"

    @property
    def lock(self) -> Path:
        """Held by the process that trains; a killed one leaves the file, which means nothing then."""
        return self.path / ".writer.lock"

    @property
    def trained_files(self) -> tuple[Path, ...]:
        """Files that a training writes, the last one last; of them only `training` says that all are there."""
        sources = (self.sources.with_suffix(".npz"), self.sources)
        begun = (
            self.corrections,
            self.config,
            self.network_source,
            self.history,
            self.resume,
            self.weights,
            self.model,
        )
        return (*begun, self.summary, self.validation, self.predictions, *sources, self.history_picture, self.training)

    @property
    def explanations(self) -> Path:
        """Folder of the results of `visionlib explain`: maps with their manifest, and measures of their quality."""
        return self.path / "explanations"

    def _repr_png_(self) -> bytes | None:
        """Show the history in a notebook, once it is drawn."""
        return self.history_picture.read_bytes() if self.history_picture.is_file() else None


@contextlib.contextmanager
def reachable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Look for files of a run: where the system does not let this user look, or the name cannot be one, say so.

    Raises:
        RunError: of any error of the system in the block.
    """
    try:
        yield
    except OSError as error:
        remedy = "give yourself the right to read it, or check the path"
        raise RunError(path, f"cannot be read ({error.strerror or error})", remedy, is_usage=True) from error


def create_run(path: Path) -> Run:
    """Make a new run folder, or take one in which a killed training had written nothing yet.

    Raises:
        RunError: if the path exists and is not such a folder or an empty one, or it cannot be made.
    """
    run = Run(path)
    with reachable(path):
        is_taken = path.is_dir() and not all(_is_of_killed_start(run, file) for file in path.iterdir())
    if is_taken:
        raise RunError(path, "exists and is not empty", "choose another folder with --out, or remove it")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(path, f"cannot be made ({error.strerror})", "choose another folder with --out") from error
    return run


def _is_of_killed_start(run: Run, file: Path) -> bool:
    """Whether a file is the lock, the list of corrections, or a record that was not whole yet."""
    begun = tuple(f".{record.name}." for record in (run.corrections, run.config))
    return file in (run.lock, run.corrections) or (file.name.startswith(begun) and file.suffix == ".tmp")


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run folder that exists.

    Raises:
        RunError: if there is no such folder, it is no run, or a newer version wrote it.
    """
    run = Run(Path(path))
    with reachable(path):
        if not run.path.is_dir():
            remedy = "name one that `visionlib train` has made"
            raise RunError(path, "there is no such run folder", remedy, is_usage=True)
        if not run.config.is_file():
            remedy = "name a folder that `visionlib train` has made"
            raise RunError(path, "is no run, it has no config.json", remedy, is_usage=True)
    read_json(run.config)
    return run
