"""Files as CIFAR-10-C has them: strength after strength, mapped, never unpickled."""

from pathlib import Path

import numpy as np
import pytest
import torch

from visionlib.data.corruption.published import open_published
from visionlib.errors import DataError

N = 6


def make_files(folder: Path) -> None:
    """Six images at five strengths; a pixel tells image, strength and colour."""
    values = np.arange(5)[:, None, None] * 30 + np.arange(N)[:, None] * 4 + np.arange(3)
    images = np.broadcast_to(values.reshape(5 * N, 1, 1, 3), (5 * N, 2, 2, 3)).astype(np.uint8)
    for name in ("fog", "gaussian_noise", "spatter"):
        np.save(folder / f"{name}.npy", images)
    np.save(folder / "labels.npy", np.tile(np.arange(N, dtype=np.uint8), 5))


def test_images_are_those_of_the_strength(tmp_path: Path) -> None:
    make_files(tmp_path)
    files = open_published(tmp_path)
    assert files.corruptions == ("gaussian_noise", "fog")
    assert files.labels.tolist() == list(range(N))
    images = files.read("fog", 3, torch.tensor([4, 0]))
    assert images.shape == (2, 3, 2, 2)
    assert images[:, :, 1, 0].tolist() == [[76, 77, 78], [60, 61, 62]]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("labels", None, r"labels\.npy: there is no such file; name a folder that holds CIFAR-10-C"),
        ("labels", np.zeros(7, np.uint8), r"labels\.npy: is uint8 of shape \(7,\), not a whole number for each image"),
        ("labels", np.zeros(30), r"labels\.npy: is float64 of shape"),
        ("labels", np.arange(30), r"labels\.npy: does not repeat the labels for each strength"),
        ("fog", np.zeros((29, 2, 2, 3), np.uint8), r"fog\.npy: is uint8 of shape \(29, 2, 2, 3\), not uint8 of 30 im"),
        ("fog", np.zeros((30, 2, 2, 3)), r"fog\.npy: is float64 of shape"),
        ("fog", np.array([{}] * 30), r"fog\.npy: is no array of numpy"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, array: "np.ndarray | None", message: str) -> None:
    make_files(tmp_path)
    (tmp_path / f"{name}.npy").unlink()
    if array is not None:
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        open_published(tmp_path).read("fog", 1, torch.tensor([0]))


def test_a_folder_without_a_known_file_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path)
    for name in ("fog", "gaussian_noise"):
        (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(DataError, match=r"has no file of a corruption, such as fog\.npy"):
        open_published(tmp_path)
    (tmp_path / "fog.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"fog\.npy: is no array of numpy"):
        open_published(tmp_path).read("fog", 1, torch.tensor([0]))
