"""`export_hub`: a folder that is ready to become a repository on the Hugging Face hub."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.evaluation.evaluate import evaluate
from visionlib.export.card import CardFacts, write_card
from visionlib.export.evaluation_facts import EvaluationFacts, take_evaluation
from visionlib.export.onnx_file import FilePrecision, OnnxExport, export_onnx
from visionlib.export.onnx_graph import check_extra
from visionlib.export.source import ExportSource, open_source
from visionlib.models.model_record import ModelRecord
from visionlib.runs import Run, read_config, read_training, write_json
from visionlib.runs.files import write_bytes
from visionlib.runs.json_records import encode_json

_LANCZOS = 1
"""Pillow's number of the filter, as the hub's preprocessors have it."""


@dataclass(frozen=True)
class HubExport:
    """A hub folder.

    Attributes:
        path: of the folder.
        files: in it, that were written.
        onnx: the ONNX file in it.
    """

    path: str
    files: tuple[str, ...]
    onnx: OnnxExport

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)


def export_hub(
    source: str | os.PathLike[str] | Run,
    folder: str | os.PathLike[str],
    *,
    evaluation: Mapping[str, Any] | None = None,
    precision: FilePrecision = "fp32",
    dataset: str | Path | Dataset | None = None,
    licence: str = "unknown",
    force: bool = False,
    log: Callable[[str], None] = lambda _line: None,
) -> HubExport:
    """Write weights, their description, a model card and an ONNX file.

    The folder holds `model.safetensors`, `model.json` and, where it is known, `evaluation.json` as a run does,
    `config.json`, `preprocessor_config.json`, `README.md` and `onnx/model.onnx`.

    Args:
        source: a run or its folder, pretrained weights by name, or another hub folder.
        folder: to make; with `force` it may exist, and its other files stay.
        evaluation: `Evaluation.to_dict()` of the test images; by default the run's, which is made where it is absent.
        precision: of the ONNX file; see `export_onnx`.
        dataset: where a run's data is now, if it has moved; read for fp16 and int8, and where the run has neither
            evaluation nor predictions.
        licence: of the weights, by the hub's name of it.
        force: replace the files of an existing folder.
        log: gets a line on each step.
    Raises:
        ConfigError: if the folder holds anything, or is a run, or the packages of the extra are not installed.
        ModelError: as `export_onnx`.
        RunError: if the run is unfinished or damaged.
    """
    check_extra()
    folder = Path(folder)
    check_folder(folder, force=force)
    found = open_source(source)
    facts = CardFacts(
        name=found.run.path.resolve().name,
        config=read_config(found.run) if found.is_run else None,
        training=read_training(found.run),
        evaluation=take_evaluation(evaluation) or _find_evaluation(found, dataset),
        licence=licence,
    )
    data = None if precision == "fp32" else found.load_data(dataset)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp") as name:
        made = Path(name)
        (made / "onnx").mkdir()
        file = made / "onnx" / "model.onnx"
        onnx = export_onnx(found.model, file, precision=precision, dataset=data, licence=licence, log=log)
        _write_files(made, found, facts, onnx)
        files = _move_files(made, folder)
    return HubExport(str(folder), files, replace(onnx, path=str(folder / "onnx" / "model.onnx")))


def _find_evaluation(found: ExportSource, dataset: str | Path | Dataset | None) -> EvaluationFacts | None:
    if found.is_run and not found.run.evaluation.is_file():
        return take_evaluation(evaluate(found.run, dataset=dataset).to_dict())
    return found.read_evaluation()


def check_folder(folder: Path, *, force: bool) -> None:
    """Refuse, before anything is computed, a folder that may not be written.

    Raises:
        ConfigError: the message says how to go on.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(str(folder), "is a file", "name a folder to make")
    if not folder.parent.is_dir():
        raise ConfigError(str(folder), f"there is no folder {folder.parent}", "make it first")
    if (folder / "history.jsonl").exists() or (folder / "resume.pt").exists() or (folder / "training.json").exists():
        raise ConfigError(str(folder), "is a run, whose files would be replaced", "choose another folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise ConfigError(
            str(folder), "exists and is not empty", "choose another folder, or replace its files with --force"
        )


def _write_files(made: Path, found: ExportSource, facts: CardFacts, onnx: OnnxExport) -> None:
    record = found.record
    shutil.copyfile(found.run.weights, made / "model.safetensors")
    write_json(made / "model.json", asdict(record))
    if (evaluation := take_evaluation(facts.evaluation)) is not None:
        write_json(made / "evaluation.json", evaluation.to_dict())
    write_bytes(made / "config.json", encode_json(_configure(record), indent=2) + b"\n")
    write_bytes(made / "preprocessor_config.json", encode_json(_configure_preprocessor(record), indent=2) + b"\n")
    note = _describe_onnx(onnx)
    write_bytes(made / "README.md", write_card(record, replace(facts, notes=(*facts.notes, note))).encode())


def _describe_onnx(onnx: OnnxExport) -> str:
    measured = "" if onnx.accuracy is None else f", accuracy {onnx.accuracy:.2%} on {onnx.n:,} test images"
    return (
        f"**ONNX file**: {onnx.precision}; largest difference of a probability to PyTorch's in fp32 "
        f"{onnx.largest_difference:.1g}, on {onnx.checked} drawn pictures of several sizes{measured}."
    )


def _configure(record: ModelRecord) -> dict[str, Any]:
    """Return `config.json` in the words of the hub."""
    return {
        "model_type": "visionlib",
        "architectures": [record.model],
        "num_labels": len(record.classes),
        "id2label": {str(at): name for at, name in enumerate(record.classes)},
        "label2id": {name: at for at, name in enumerate(record.classes)},
        "num_channels": record.channels,
        "image_size": list(record.image_size or record.input_size),
        "input_size": list(record.input_size),
        "temperature": record.temperature,
        "highest_energy": None if record.novelty is None else record.novelty.threshold,
    }


def _configure_preprocessor(record: ModelRecord) -> dict[str, Any]:
    """Return `preprocessor_config.json`: what happens to a decoded picture, in order."""
    height, width = record.image_size or record.input_size
    return {
        "do_center_crop": record.resize == "crop",
        "crop_before_resize": record.resize == "crop",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": _LANCZOS,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(record.mean),
        "image_std": list(record.std),
        "input_size": {"height": record.input_size[0], "width": record.input_size[1]},
        "input_resample": "bilinear, antialiased",
    }


def _move_files(made: Path, folder: Path) -> tuple[str, ...]:
    """Move the files, once all are written: a folder that fails on the way is not begun.

    `model.json` goes first and comes last. So a folder that holds files of two exports cannot be loaded.
    """
    record, evaluation = Path("model.json"), Path("evaluation.json")
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    try:
        (folder / record).unlink(missing_ok=True)
        (folder / evaluation).unlink(missing_ok=True)  # it would be that of other weights
        for file in sorted(files, key=lambda file: file == record):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (made / file).replace(folder / file)
    except OSError as error:
        raise RunError(folder, f"cannot be written ({error.strerror})", "mend that, and export again") from error
    return tuple(map(str, files))
