"""The readers of what strangers write, each as a function of bytes, with small valid inputs to begin from."""

import gzip
import io
import json
import pickle
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save
from torch import nn

from visionlib.cli.settings import resolve_config
from visionlib.data.archives import read_members
from visionlib.data.cifar import load_cifar
from visionlib.data.decode import Picture, decode_pictures
from visionlib.data.idx import load_idx
from visionlib.data.parquet import load_parquet
from visionlib.evaluation.evaluation import load_evaluation
from visionlib.evaluation.votes.votes import load_votes
from visionlib.explanation.quality.result import load_quality
from visionlib.explanation.stored_explanations import load_explanations
from visionlib.inference.predictions import load_predictions
from visionlib.inference.run_model import load_summary
from visionlib.models.checkpoints import read_weights
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.arrays import read_arrays
from visionlib.runs.training_records import read_config, read_history, read_training
from visionlib.training import TrainConfig
from visionlib.training.averaging import WeightAverage
from visionlib.training.checkpoint import Checkpointer, Progress, load_checkpoint

RUN = Path(__file__).parents[1] / "tests" / "previous_version" / "finished"
"""A finished run with every record."""
CLASSES = ("dark", "bright")
Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Reader:
    """A reader, and what to begin from.

    Attributes:
        seeds: makes valid inputs.
        prepare: makes, in a folder of its own, the function that reads an input; it may raise only `VisionlibError`.
    """

    seeds: Callable[[], list[bytes]]
    prepare: Callable[[Path], Read]


def _of_file(name: str, read: Callable[[Path], object]) -> Callable[[Path], Read]:
    """Read inputs from a file of this name."""

    def prepare(folder: Path) -> Read:
        def act(content: bytes) -> object:
            (folder / name).write_bytes(content)
            return read(folder / name)

        return act

    return prepare


def _of_record(name: str, read: Callable[[Run], object]) -> Reader:
    """Read inputs as one file of a finished run."""

    def prepare(folder: Path) -> Read:
        run = shutil.copytree(RUN, folder / "run")
        return _of_file(name, lambda file: read(Run(run)))(run)

    return Reader(lambda: [(RUN / name).read_bytes()], prepare)


def _pixels(side: int = 4) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    return np.arange(side * side * 3, dtype=np.uint8).reshape(side, side, 3)


def _draw_images() -> list[bytes]:
    made = []
    picture = Image.fromarray(_pixels())
    kinds: list[tuple[str, dict[str, Any]]] = [("PNG", {}), ("JPEG", {}), ("WEBP", {}), ("WEBP", {"lossless": True})]
    exif = Image.Exif()
    exif[0x0112] = 6
    modes = [picture, *(picture.convert(mode) for mode in ("L", "P", "RGBA", "LA", "1"))]
    images: list[tuple[Image.Image, str, dict[str, Any]]] = [(image, "PNG", {}) for image in modes] + [
        (picture, kind, options) for kind, options in kinds
    ]
    images += [(picture, kind, {"exif": exif}) for kind in ("PNG", "JPEG", "WEBP")]
    images += [(image, "BMP", {}) for image in (picture, picture.convert("P"), picture.convert("1"))]
    images += [(Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4)), "PNG", {})]
    images += [(picture, "PNG", {"transparency": (0, 1, 2)})]
    for image, kind, options in images:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        made.append(buffer.getvalue())
    return made


def _decode(content: bytes) -> object:
    picture = Picture("picture", content)
    return decode_pictures([picture], image_size=8, description="", describe=lambda: "")


_BINARY_BATCHES = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
_PICKLED_BATCHES = [name.removesuffix(".bin") for name in _BINARY_BATCHES]


def _pickle_batch(protocol: int) -> bytes:
    return pickle.dumps({b"labels": [1], b"data": np.zeros((1, 3072), np.uint8)}, protocol)


def _prepare_cifar(batches: list[str], names: str, meta: bytes, batch: bytes) -> Callable[[Path], Read]:
    """Read inputs as the first batch of a CIFAR folder."""

    def prepare(folder: Path) -> Read:
        for name in batches:
            (folder / name).write_bytes(batch)
        (folder / names).write_bytes(meta)
        return _of_file(batches[0], lambda file: load_cifar(folder, "cifar"))(folder)

    return prepare


def _idx(*shape: int) -> bytes:
    sizes = b"".join(side.to_bytes(4, "big") for side in shape)
    return bytes([0, 0, 8, len(shape)]) + sizes + bytes(int(np.prod(shape)))


def _prepare_idx(folder: Path) -> Read:
    (folder / "train-labels-idx1-ubyte").write_bytes(_idx(2))

    def act(content: bytes) -> object:
        is_packed = content[:2] == b"\x1f\x8b"
        for name, is_this in (("train-images-idx3-ubyte.gz", is_packed), ("train-images-idx3-ubyte", not is_packed)):
            (folder / name).write_bytes(content) if is_this else (folder / name).unlink(missing_ok=True)
        return load_idx(folder, "idx")

    return act


def _make_archives() -> list[bytes]:
    made = []
    for mode in ("w", "w:gz"):
        for style in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode=mode, format=style) as archive:
                member = tarfile.TarInfo("folder/" + "long" * 30 + "/data_batch_1")
                member.size, member.pax_headers = 5, {"comment": "none"}
                archive.addfile(member, io.BytesIO(b"batch"))
                link = tarfile.TarInfo("folder/meta")
                link.type, link.linkname = tarfile.SYMTYPE, "data_batch_1"
                archive.addfile(link)
            made.append(buffer.getvalue())
    return made


def _make_parquet() -> list[bytes]:
    picture = _draw_images()[0]
    made = []
    for images in ([{"bytes": picture, "path": "a.png"}], [picture]):
        table = pa.table({"image": images, "label": [1]})
        names = {"info": {"features": {"label": {"names": list(CLASSES)}}}}
        for metadata in ({}, {"huggingface": json.dumps(names)}):
            buffer = io.BytesIO()
            pq.write_table(table.replace_schema_metadata(metadata), buffer)
            made.append(buffer.getvalue())
    return made


def _torch_bytes(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _prepare_resume(folder: Path) -> Read:
    run, model = Run(folder), nn.Linear(2, 2)
    config = TrainConfig(averaging="ema")

    def act(content: bytes) -> object:
        run.resume.write_bytes(content)
        optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
        return load_checkpoint(run, model, optimizer, WeightAverage(model, config), "cpu")

    return act


def _make_resume() -> list[bytes]:
    """Checkpoints without a seal, as those of older versions: with one, every change would be noticed at once."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        average = WeightAverage(model, TrainConfig(averaging="ema"))
        Checkpointer(Run(Path(folder)), 1).save(model, optimizer, average, Progress(torch.zeros(()), torch.zeros(())))
        content = (Path(folder) / "resume.pt").read_bytes()
        return [content[: content.rindex(b"visionlib-sha256")]]


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _prepare_votes(folder: Path) -> Read:
    def act(content: bytes) -> object:
        path = folder / (
            "votes.npz" if content[:2] == b"PK" else "votes.npy" if content[:1] == b"\x93" else "votes.csv"
        )
        path.write_bytes(content)
        return load_votes(path, CLASSES, torch.arange(2))

    return act


def _make_votes() -> list[bytes]:
    buffer = io.BytesIO()
    np.save(buffer, np.ones((2, 2)))
    texts = ["dark,bright\n1,2\n3,4\n", "1,2\n3,4\n", "index,bright,dark\n0,1,2\n1,0.5,2\n"]
    arrays = [_npz(votes=np.ones((2, 2), np.float32), index=np.arange(2)), buffer.getvalue()]
    return [*arrays, *(text.encode() for text in texts)]


_TOML = b'recipe = "quick"\nepochs = 10\nresolutions = [0.5, 0.75, 1]\nseed = 1\npolicy = "trivial"\nbalance = true\n'
_CHECKPOINT = {"state_dict": {"module.fc.weight": torch.ones(2, 2), "module.fc.bias": torch.zeros(2)}, "epoch": 3}

_STATE = {"visionlib.state": '{"aliases": {"head.weight": "fc.weight"}, "encoded": []}'}

READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "images": Reader(_draw_images, lambda folder: _decode),
        "cifar-binary": Reader(
            lambda: [bytes(3073), bytes(2 * 3073)],
            _prepare_cifar(_BINARY_BATCHES, "batches.meta.txt", "\n".join(CLASSES).encode(), bytes(3073)),
        ),
        "cifar-pickle": Reader(
            lambda: [_pickle_batch(protocol) for protocol in range(6)],
            _prepare_cifar(
                _PICKLED_BATCHES, "batches.meta", pickle.dumps({"label_names": list(CLASSES)}), _pickle_batch(2)
            ),
        ),
        "idx": Reader(lambda: [_idx(2, 4, 4), gzip.compress(_idx(2, 4, 4), mtime=0)], _prepare_idx),
        "archive": Reader(
            _make_archives, _of_file("archive", lambda file: read_members(file, {"data_batch_1", "meta"}))
        ),
        "parquet": Reader(_make_parquet, _of_file("train.parquet", lambda file: load_parquet(file, 8))),
        "safetensors": Reader(
            lambda: [save({"fc.weight": torch.ones(2, 2), "fc.bias": torch.zeros(2)}, _STATE)],
            _of_file("model.safetensors", read_weights),
        ),
        "checkpoint": Reader(lambda: [_torch_bytes(_CHECKPOINT)], _of_file("model.pt", read_weights)),
        "resume": Reader(_make_resume, _prepare_resume),
        "npz": Reader(
            lambda: [_npz(a=np.arange(3), b=np.array("text"))],
            _of_file("a.npz", lambda file: read_arrays(file, remedy="")),
        ),
        "votes": Reader(_make_votes, _prepare_votes),
        "settings": Reader(lambda: [_TOML], _of_file("settings.toml", lambda file: resolve_config("auto", file, {}))),
        "predictions": _of_record("predictions.npz", load_predictions),
        "config.json": _of_record("config.json", read_config),
        "history.jsonl": _of_record("history.jsonl", read_history),
        "training.json": _of_record("training.json", read_training),
        "model.json": _of_record("model.json", load_record),
        "summary.json": _of_record("summary.json", load_summary),
        "evaluation.json": _of_record("evaluation.json", load_evaluation),
        "explanations": _of_record("explanations/manifest.json", load_explanations),
        "quality": _of_record("explanations/quality.json", load_quality),
    }
)
