"""Pictures to label next, for networks in memory, pretrained weights and files."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from visionlib import load
from visionlib.data import Dataset
from visionlib.errors import ConfigError
from visionlib.inference import TrainedModel
from visionlib.inspection import choose_to_label
from visionlib.runs import Run


class Brightness(nn.Module):
    """Logits z and -z, z = 4 times the mean of the inputs less 2; the embedding is the angle 0 to 1 by the mean."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.head = nn.Linear(2, classes)
        self.drop = nn.Dropout(0.9)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[4.0, -2.0], [-4.0, 2.0]])[:classes])
            self.head.bias.zero_()

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        mean = inputs.mean((1, 2, 3))
        logits: Tensor = self.head(self.drop(torch.stack([mean, torch.ones_like(mean)], 1)))
        return logits


def noise(*means: float) -> UInt8[Tensor, "n 1 16 16"]:
    """Pictures of these means of 255 that have nothing else in common."""
    half = torch.randint(-40, 41, (len(means), 1, 16, 8))
    signs = torch.cat([half, -half.flip(2)], 3)  # of mean 0
    return (255 * torch.tensor(means)[:, None, None, None] + signs).round().to(torch.uint8)


PLAIN: dict[str, Any] = {"mean": (0.0,), "std": (1.0,)}


def test_a_network_in_memory_by_hand() -> None:
    network = Brightness().train()
    images = noise(0.2, 0.5, 0.8, 0.6, 0.45)
    chosen = choose_to_label(network, images, 5, **PLAIN)
    assert network.training
    assert [one.index for one in chosen.pictures] == [1, 4, 3, 0, 2]
    assert (chosen.n, chosen.candidates, chosen.copies, chosen.errors) == (5, 5, 0, ())
    for one, mean in zip(chosen.pictures, images[[1, 4, 3, 0, 2]].float().mean((1, 2, 3)) / 255, strict=True):
        z = abs(4 * float(mean) - 2)
        assert one.score == pytest.approx(1 - math.tanh(z), abs=2e-6)
        assert one.confidence == pytest.approx(1 / (1 + math.exp(-2 * z)), abs=1e-6)
        assert (one.predicted, one.second) == (("0", "1") if mean >= 0.5 else ("1", "0"))
        assert (one.file, one.stands_for) == (None, 1)
    best = chosen.pictures[0]
    assert best.reason == f"or {best.second} {100 * best.second_confidence:.1f} %"
    assert chosen.to_dict()["pictures"][0]["rank"] == 1


def test_the_choice_does_not_depend_on_batches_and_is_made_by_the_seed() -> None:
    model = load("cifar10", device="cpu")
    images = torch.randint(0, 256, (60, 3, 32, 32), dtype=torch.uint8)
    first = choose_to_label(model, images, 4)
    assert first == choose_to_label(model, images, 4)
    small = choose_to_label(model, images, 4, batch_size=17)
    assert [one.index for one in small.pictures] == [one.index for one in first.pictures]
    assert first.candidates == 40
    assert sum(one.stands_for for one in first.pictures) == 40
    assert first.pictures != choose_to_label(model, images, 4, seed=1).pictures
    assert all("more like it" in one.reason for one in first.pictures if one.stands_for > 1)


def test_files_give_what_their_pixels_give(finished_run: Run, small_shapes: Dataset, tmp_path: Path) -> None:
    images = small_shapes.test.images[:12]
    for at, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{at:02}.png")
    (tmp_path / "05b.png").write_bytes(b"none")
    (tmp_path / "z.png").write_bytes((tmp_path / "03.png").read_bytes())
    chosen = choose_to_label(finished_run.path, tmp_path, 20, device="cpu")
    known = choose_to_label(finished_run.path, images, 20, device="cpu")
    assert [one.file for one in chosen.pictures] == [str(tmp_path / f"{one.index:02}.png") for one in known.pictures]
    assert [one.score for one in chosen.pictures] == pytest.approx([one.score for one in known.pictures])
    assert (chosen.n, chosen.copies, known.copies) == (13, 1, 0)
    ((file, error),) = chosen.errors
    assert file == str(tmp_path / "05b.png")
    assert "is no whole PNG" in str(error)
    chosen.write(tmp_path / "next.csv")
    rows = list(csv.DictReader((tmp_path / "next.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == [one.file for one in chosen.pictures]
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 13)]
    assert rows[0]["reason"] == chosen.pictures[0].reason


def test_arrays_and_pillows_pictures(finished_run: Run, small_shapes: Dataset) -> None:
    images = small_shapes.test.images[:6]
    arrays = images.permute(0, 2, 3, 1).numpy()
    known = choose_to_label(finished_run, images, 3, device="cpu")
    assert choose_to_label(finished_run, arrays, 3, device="cpu") == known
    assert choose_to_label(finished_run, [Image.fromarray(one) for one in arrays], 3, device="cpu") == known


def test_nothing_gives_nothing() -> None:
    nothing: list[Any] = [noise(), []]
    for pictures in nothing:
        chosen = choose_to_label(TrainedModel(Brightness(), (0.0,), (1.0,), image_size=(16, 16)), pictures)
        assert (chosen.pictures, chosen.n, chosen.candidates) == ((), 0, 0)


def test_what_cannot_be_chosen_from_is_told(finished_run: Run) -> None:
    images = noise(0.2, 0.5)
    with pytest.raises(ConfigError, match="count: 0 is out of range; ask for one picture or more"):
        choose_to_label(Brightness(), images, 0, **PLAIN)
    with pytest.raises(ConfigError, match="network: tells one class alone"):
        choose_to_label(Brightness(1), images, 1, **PLAIN)
    with pytest.raises(ConfigError, match="mean, std: are not known of a network alone"):
        choose_to_label(Brightness(), images)
    with pytest.raises(ConfigError, match="mean, std, side_px: are known already"):
        choose_to_label(finished_run, images, mean=(0.0,))
    with pytest.raises(ConfigError, match="pictures: are a int; give files, folders, or pixels"):
        choose_to_label(Brightness(), 3, **PLAIN)
    with pytest.raises(ConfigError, match="pictures: hold a int"):
        choose_to_label(TrainedModel(Brightness(), (0.0,), (1.0,), image_size=(16, 16)), [np.zeros((4, 4)), 3])
