"""Measure training: images per second with data included, visionlib's step in turn with a loop as tutorials have it.

.venv/bin/python bench/training.py [ROUNDS]

The step at 32 px is that of the recipe `standard`, those below are those of `quick`. Every figure comes from a process
of its own; they take turns, so that neither warms up the other.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from visionlib.data import ImageSplit
from visionlib.data.augmentation import mirror_images
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.prediction import predict_logits
from visionlib.models import build_model
from visionlib.training import TrainConfig, recipe_config
from visionlib.training.batches import augmented_batches, epoch_batches
from visionlib.training.config import Precision
from visionlib.training.job import TrainingJob, choose_training_compute
from visionlib.training.optimizer import make_optimizer
from visionlib.training.step import TrainingStep

N_IMAGES = 50_000
SECONDS = 12.0
WARM_UP_STEPS = 3
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def noise_split() -> ImageSplit:
    """Draw noise images, as many as CIFAR-10 has for training: the time does not depend on their content."""
    images = torch.randint(0, 256, (N_IMAGES, 3, 32, 32), dtype=torch.uint8)
    return ImageSplit(images, torch.arange(N_IMAGES) % 10, tuple("abcdefghij"), torch.arange(N_IMAGES))


class TutorialDataset(TorchDataset[tuple[Tensor, int]]):
    """One image at a time: cropped, mirrored and normalized by PIL and torch, at a given side."""

    def __init__(self, split: ImageSplit, side_px: int) -> None:
        self.pixels = split.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = split.labels.tolist()
        self.side_px = side_px

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.pixels[at])
        padded = Image.new("RGB", (40, 40))
        padded.paste(image, (4, 4))
        left, top = torch.randint(0, 9, (2,)).tolist()
        image = padded.crop((left, top, left + 32, top + 32))
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.side_px != 32:
            image = image.resize((self.side_px, self.side_px), Image.Resampling.BILINEAR)
        buffer = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = buffer.view(self.side_px, self.side_px, 3).permute(2, 0, 1).float().div(255)
        return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1), self.labels[at]


def plain_steps(split: ImageSplit, side_px: int) -> Iterator[int]:
    """Train as tutorials do: fp32, channels first, two workers, batches of 128; yield the images of each step."""
    model = build_model("resnet18").train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(TutorialDataset(split, side_px), batch_size=128, shuffle=True, num_workers=2)
    criterion = nn.CrossEntropyLoss()
    for inputs, labels in loader:
        optimizer.zero_grad()
        criterion(model(inputs), labels).backward()
        optimizer.step()
        yield len(labels)


def visionlib_steps(split: ImageSplit, side_px: int, precision: Precision = "auto") -> Iterator[int]:
    """Train with the recipe that trains at this resolution; yield the images of each step."""
    config = recipe_config("standard" if side_px == split.images.shape[-1] else "quick", precision=precision)
    compute = choose_training_compute(config)
    job = TrainingJob(split, config, compute, split.mean, split.std)
    model = build_model("resnet18").to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = make_optimizer(model, config, compute.dtype)
    take_step = TrainingStep(model, optimizer, job)
    with compute_environment(compute):
        batches = epoch_batches(split, config.batch_size, seed=0, epoch=0)
        for images, labels in augmented_batches(split, batches, config):
            take_step(images, labels, side_px=side_px, learning_rate=0.01)
            yield len(labels)


def visionlib_fp32_steps(split: ImageSplit, side_px: int) -> Iterator[int]:
    """Train in fp32, as on a CPU without bf16."""
    return visionlib_steps(split, side_px, "fp32")


def plain_evaluation(split: ImageSplit, side_px: int) -> Iterator[int]:
    """Predict as tutorials do, in fp32, channels first; yield the images of each step."""
    model = build_model("resnet18").eval()
    loader = DataLoader(TutorialDataset(split, side_px), batch_size=128, num_workers=2)
    with torch.no_grad():
        for inputs, labels in loader:
            F.softmax(model(inputs), 1).argmax(1)
            yield len(labels)


def visionlib_evaluation(split: ImageSplit, side_px: int) -> Iterator[int]:
    """Predict images as `visionlib test --predict` does, without mirror images; yield the images of each step."""
    compute = choose_compute()
    model = build_model("resnet18").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with compute_environment(compute):
        for chunk in torch.split(mirror_images(split.images), 1000):
            predict_logits(model, chunk, mean=MEAN, std=STD, precision=compute.precision)
            yield len(chunk)


Contender = Callable[[ImageSplit, int], Iterator[int]]
CONTENDERS: dict[str, tuple[Contender, Contender]] = {
    "train": (plain_steps, visionlib_steps),
    "train, fp32": (plain_steps, visionlib_fp32_steps),
    "predict": (plain_evaluation, visionlib_evaluation),
}
TASKS = [("train", 32), ("train", 24), ("train", 16), ("train, fp32", 32), ("predict", 32)]


def measure(task: str, is_visionlib: bool, side_px: int) -> dict[str, float]:
    """Run one contender for some seconds; return its images per second and its peak memory."""
    steps = CONTENDERS[task][is_visionlib](noise_split(), side_px)
    for _ in range(WARM_UP_STEPS):
        next(steps)
    started, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < SECONDS and (n := next(steps, 0)):
        done += n
    return {"images_per_second": done / elapsed, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def main() -> None:
    """Let the contenders take turns, and print the medians."""
    if sys.argv[1:2] == ["--one"]:
        sys.stdout.write(json.dumps(measure(sys.argv[2], sys.argv[3] == "visionlib", int(sys.argv[4]))))
        sys.stdout.flush()
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    sys.stdout.write(
        f"{choose_training_compute(TrainConfig())}; torch {torch.__version__}; median of {rounds}, images per second\n"
    )
    sys.stdout.write(f"{'':<20}{'plain loop':>12}{'visionlib':>12}{'times':>8}{'peak memory, GB':>24}\n")
    for task, side_px in TASKS:
        results: dict[str, list[dict[str, Any]]] = {"plain": [], "visionlib": []}
        for _ in range(rounds):
            for kind, measured in results.items():
                command = [sys.executable, __file__, "--one", task, kind, str(side_px)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  itself
                measured.append(json.loads(output))
        speeds, peaks = (
            {kind: statistics.median(each[key] for each in measured) for kind, measured in results.items()}
            for key in ("images_per_second", "peak_gb")
        )
        sys.stdout.write(
            f"{task + f' {side_px} px':<20}{speeds['plain']:>12.0f}{speeds['visionlib']:>12.0f}"
            f"{speeds['visionlib'] / speeds['plain']:>8.2f}{peaks['plain']:>14.2f}{peaks['visionlib']:>10.2f}\n"
        )


if __name__ == "__main__":
    main()
