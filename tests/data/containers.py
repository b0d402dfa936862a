"""Small datasets in every container that `load_dataset` reads, written from the same pictures."""

import gzip
import io
import json
import pickle
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from visionlib.data.dataset import ImageSplit

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
Splits = Mapping[str, ImageSplit]


def draw_noise(channels: int, per_class: int, seed: int) -> ImageSplit:
    """Draw noise of ten classes, sorted by class as a folder is, so that every container can keep the order."""
    generator = torch.Generator().manual_seed(seed)
    n = 10 * per_class
    images = torch.randint(0, 256, (n, channels, 32, 32), dtype=torch.uint8, generator=generator)
    return ImageSplit(images, torch.arange(10).repeat_interleave(per_class), CIFAR10_CLASSES, torch.arange(n))


def encode(image: torch.Tensor, kind: str = "PNG") -> bytes:
    """Encode one picture of shape (c, h, w) in a lossless format."""
    pixels = image.permute(1, 2, 0).squeeze(2).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue()


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder into a `.tar.gz`, under its own name."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    return archive


def write_cifar_binary(splits: Splits, home: Path) -> Path:
    """Write the layout of cifar-10-binary, with the training images spread over five batches."""
    folder = home / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, split in _cifar_batches(splits):
        records = [bytes([label]) + image.numpy().tobytes() for image, label in _pairs(split)]
        (folder / f"{name}.bin").write_bytes(b"".join(records))
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_CLASSES) + "\n\n")
    return folder


def write_cifar_python(splits: Splits, home: Path, protocol: int = 2) -> Path:
    """Write the layout of cifar-10-python, with keys as bytes as Python 2 left them."""
    folder = home / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, split in _cifar_batches(splits):
        batch = {
            b"batch_label": name.encode(),
            b"labels": split.labels.tolist(),
            b"data": split.images.flatten(1).numpy(),
            b"filenames": [b"picture.png"] * len(split),
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol))
    meta = {b"num_cases_per_batch": 2, b"label_names": [name.encode() for name in CIFAR10_CLASSES], b"num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol))
    return folder


def write_cifar100_binary(splits: Splits, home: Path) -> Path:
    """Write the layout of cifar-100-binary: a coarse label, which is passed over, and a fine one."""
    folder = home / "cifar-100-binary"
    folder.mkdir(parents=True)
    for name, split in splits.items():
        records = [bytes([7, label]) + image.numpy().tobytes() for image, label in _pairs(split)]
        (folder / f"{name}.bin").write_bytes(b"".join(records))
    (folder / "fine_label_names.txt").write_text("\n".join(CIFAR10_CLASSES) + "\n")
    (folder / "coarse_label_names.txt").write_text("things\n")
    return folder


def write_cifar100_python(splits: Splits, home: Path) -> Path:
    """Write the layout of cifar-100-python."""
    folder = home / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, split in splits.items():
        batch = {"fine_labels": split.labels.tolist(), "coarse_labels": [7] * len(split)}
        (folder / name).write_bytes(pickle.dumps({**batch, "data": split.images.flatten(1).numpy()}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": list(CIFAR10_CLASSES)}))
    return folder


def write_parquet(splits: Splits, home: Path, *, is_struct: bool = True, with_names: bool = True) -> Path:
    """Write a folder as on the Hugging Face hub."""
    home.mkdir(parents=True)
    for name, split in splits.items():
        contents = [encode(image) for image in split.images]
        images = [{"bytes": content, "path": None} for content in contents] if is_struct else contents
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if is_struct else pa.binary()
        table = pa.table({"img": pa.array(images, kind), "label": pa.array(split.labels.tolist(), pa.int64())})
        if with_names:
            features = {"label": {"names": list(CIFAR10_CLASSES), "_type": "ClassLabel"}}
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, home / f"{name}-00000-of-00001.parquet")
    return home


def write_folder(splits: Splits, home: Path, kinds: tuple[str, ...] = ("PNG", "BMP", "WEBP")) -> Path:
    """Write `SPLIT/CLASS/NUMBER.KIND`, in a mix of lossless formats."""
    for name, split in splits.items():
        for number, (image, label) in enumerate(_pairs(split)):
            kind = kinds[number % len(kinds)]
            folder = home / name / CIFAR10_CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:05}.{kind.lower()}").write_bytes(encode(image, kind))
    return home


def write_idx(splits: Splits, home: Path, *, is_packed: bool = False) -> Path:
    """Write the four files of MNIST's layout from images of one channel."""
    home.mkdir(parents=True)
    write: Callable[[Path, bytes], object] = Path.write_bytes
    for name, split in splits.items():
        prefix = "train" if name == "train" else "t10k"
        for kind, array in (("images-idx3", split.images[:, 0].numpy()), ("labels-idx1", split.labels.numpy())):
            shape = b"".join(side.to_bytes(4, "big") for side in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()
            path = home / f"{prefix}-{kind}-ubyte"
            write(path.with_suffix(".gz") if is_packed else path, gzip.compress(content) if is_packed else content)
    return home


def _cifar_batches(splits: Splits) -> list[tuple[str, ImageSplit]]:
    parts = torch.tensor_split(torch.arange(len(splits["train"])), 5)
    batches = [(f"data_batch_{at}", splits["train"].subset(part)) for at, part in enumerate(parts, 1)]
    return [*batches, ("test_batch", splits["test"])]


def _pairs(split: ImageSplit) -> list[tuple[torch.Tensor, int]]:
    return list(zip(split.images, split.labels.tolist(), strict=True))
