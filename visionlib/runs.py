"""The run folder: where each file lies, how it is written so that nobody sees half of it, and how it is read back.

Nothing here knows what a network is; the stations meet in this folder and nowhere else.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionlib.errors import ConfigError, RunError

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Run:
    """A run folder, by its path; the attributes name its files whether they exist yet or not."""

    path: Path

    @property
    def config(self) -> Path:
        """Resolved configuration, seed, dataset name and content hash, versions, device, command line."""
        return self.path / "config.json"

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
        """Folder of TensorBoard's event files; there if the settings ask for it."""
        return self.path / "tensorboard"

    @property
    def training(self) -> Path:
        """What training came to: epochs, seconds, images per second, test accuracy; there once a run is finished."""
        return self.path / "training.json"

    @property
    def resume(self) -> Path:
        """The last checkpoint: what it takes to go on exactly where the training was."""
        return self.path / "resume.pt"

    @property
    def weights(self) -> Path:
        """The weights to use."""
        return self.path / "model.safetensors"

    @property
    def model(self) -> Path:
        """Architecture, classes, normalisation, input size, and the SHA-256 of `weights`."""
        return self.path / "model.json"

    @property
    def predictions(self) -> Path:
        """Per test image: index, label, logits, logits of the mirror image, embedding."""
        return self.path / "predictions.npz"

    @property
    def validation(self) -> Path:
        """The same of the training images held out for validation; there if some were."""
        return self.path / "validation.npz"

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
    def inspection(self) -> Path:
        """Folder of what `visionlib inspect` makes: embedding map, nearest training images, label candidates, folds."""
        return self.path / "inspection"

    @property
    def explanations(self) -> Path:
        """Folder of what `visionlib explain` makes: maps with their manifest, and whether they can be believed."""
        return self.path / "explanations"

    def _repr_png_(self) -> bytes | None:
        """Show the history in a notebook, once it is drawn."""
        return self.history_picture.read_bytes() if self.history_picture.is_file() else None


def create_run(path: Path) -> Run:
    """Make a new run folder.

    Raises:
        RunError: if something that is not an empty folder stands there already, or it cannot be made.
    """
    if path.is_dir() and any(path.iterdir()):
        raise RunError(path, "exists and is not empty", "choose another folder with --out, or remove it")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(path, f"cannot be made ({error.strerror})", "choose another folder with --out") from error
    return Run(path)


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run folder that exists.

    Raises:
        RunError: if there is no such folder, it is no run, or a newer version wrote it.
    """
    run = Run(Path(path))
    if not run.path.is_dir():
        raise RunError(path, "there is no such run folder", "name one that `visionlib train` has made")
    if not run.config.is_file():
        raise RunError(path, "is no run, it has no config.json", "name a folder that `visionlib train` has made")
    read_json(run.config)
    return run


def read_json(path: Path) -> dict[str, Any]:
    """Read a record of a run.

    Raises:
        RunError: if the file is absent, damaged, or of a newer schema than this version knows.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(path, "the run lacks this file", "the run did not finish; train it again") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(path, f"is damaged ({error})", "restore it, or train again") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int):
        raise RunError(path, "has no schema_version", "visionlib did not write it; name another file")
    if version > SCHEMA_VERSION:
        raise RunError(
            path, f"has schema {version} and this visionlib knows up to {SCHEMA_VERSION}", "update visionlib"
        )
    return dict(record)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read records that stand one to a line.

    Raises:
        RunError: if the file is absent or damaged.
    """
    try:
        return [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise RunError(path, "the run lacks this file", "no epoch of it is finished; train it again") from None
    except (TypeError, ValueError) as error:
        raise RunError(path, f"is damaged ({error})", "restore it, or train again") from error


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record with its schema version, whole or not at all; NaN is refused."""
    text = json.dumps({"schema_version": SCHEMA_VERSION, **record}, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_json_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records one to a line, whole or not at all."""
    lines = [json.dumps({"schema_version": SCHEMA_VERSION, **r}, ensure_ascii=False, allow_nan=False) for r in records]
    write_bytes(path, "".join(line + "\n" for line in lines).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def check_file_place(path: Path) -> None:
    """Refuse, before anything is computed, a place where no file can be written.

    Raises:
        ConfigError: if it is a folder, or its folder is absent.
    """
    if path.is_dir():
        raise ConfigError(str(path), "is a folder", "name a file to write")
    if not path.parent.is_dir():
        raise ConfigError(str(path), f"there is no folder {path.parent}", "make it first")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; when the block ends well the file there takes the place of `path`.

    The file is flushed to disk before the rename, and removed if the block raises: a reader sees the old file or the
    new one, never half of either.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    """What permissions new files lack; mkstemp ignores it, and a run is there to be shared."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
