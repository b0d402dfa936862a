"""Open the picture that a source names, by other code than the library's: to compare it with the image of that id."""

import gzip
import io
import pickle
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from visionlib.data import Dataset, ImageSplit

ODD_NAMES = (
    "two  spaces .png",
    "größe 猫.png",
    "line\nbreak.png",
    "=cmd()|'x'!A1.png",
    "<script>window.isHacked=1<.png",
    "n" * 240 + ".png",
    "caf\udce9.png",  # a byte that is not UTF-8
    "back\\slash.png",
    "\u202egnp.png",
    "{{ 7 * 7 }}: 1.png",
)


def open_source(home: Path, source: str) -> Tensor:
    """Read the pixels of a picture, or of a row as `FILE:ROW`, in a dataset's folder; shape (c, h, w)."""
    row = re.fullmatch(r"(.*):(\d+)(?: \((.*)\))?", source, re.DOTALL)
    if row is None or (home / source).is_file():
        return _as_tensor(Image.open(str(home / source)))
    path, number = home / row[1], int(row[2])
    if path.suffix == ".parquet":
        picture = pq.read_table(path, partitioning=None).column("img")[number].as_py()
        if row[3] is not None:
            assert Path(picture["path"]).name == Path(row[3]).name
        return _as_tensor(Image.open(io.BytesIO(picture["bytes"] if isinstance(picture, dict) else picture)))
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if "idx3" in path.name:
        return torch.from_numpy(np.frombuffer(content[16:], np.uint8).reshape(-1, 1, 28, 28)[number].copy())
    if path.suffix == ".bin":
        label_bytes = 2 if len(content) % 3073 else 1
        start = number * (label_bytes + 3072) + label_bytes
        return torch.from_numpy(np.frombuffer(content[start : start + 3072], np.uint8).reshape(3, 32, 32).copy())
    batch = pickle.loads(content, encoding="bytes")
    return torch.from_numpy(batch[b"data" if b"data" in batch else "data"][number].reshape(3, 32, 32).copy())


def _as_tensor(picture: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(picture))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def check_split(home: Path, split: ImageSplit) -> list[str]:
    """Assert that each image of a split is the one in the file that its source names; return all sources."""
    sources = [split.source(position) for position in range(len(split))]
    for position, source in enumerate(sources):
        assert source is not None
        assert torch.equal(open_source(home, source), split.images[position]), source
    return [source for source in sources if source is not None]


def check_dataset(home: Path, data: Dataset) -> None:
    """Assert the same of every split, and that no two images have the same source."""
    found = [source for split in data.splits.values() for source in check_split(home, split)]
    assert len(set(found)) == len(found)


def write_odd_folder(home: Path, classes: tuple[str, ...] = ("cat", "dog"), n: int = 24) -> Path:
    """Write `train` and `test` with two classes, nested folders, and names that are hard to write down."""
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(n):
            folder = home / split / classes[number % 2] / ("deep/er" if number % 5 == 0 else ".")
            folder.mkdir(parents=True, exist_ok=True)
            name = ODD_NAMES[number // 2] if number // 2 < len(ODD_NAMES) else f"img_{number}.png"
            shade = 160 * (number % 2)
            pixels = generator.integers(shade, shade + 90, (16, 16, 3), dtype=np.uint8)
            with (folder / name).open("wb") as file:
                Image.fromarray(pixels).save(file, "PNG")
    return home
