"""Train in processes of their own: pictures and networks for them, and what they leave behind."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.cli.processes import visionlib, visionlib_processes
from visionlib.models import MODEL_NAMES

ROOT = Path(__file__).parents[2]
NETWORKS = """
import atexit, os
from torch import nn

def plain(classes, channels):
    if "WORLD_SIZE" in os.environ:
        atexit.register(os.abort)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes),
    )

def normalized(classes, channels):
    if "WORLD_SIZE" in os.environ:
        atexit.register(os.abort)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, classes),
    )
"""


def fill_folder(folder: Path) -> None:
    """Write a module of networks, and 78 images."""
    from PIL import Image

    (folder / "networks.py").write_text(NETWORKS)
    noise = torch.Generator().manual_seed(0)
    for split, n in (("train", 31), ("test", 8)):
        for number, name in enumerate(("dark", "bright")):
            (folder / "pictures" / split / name).mkdir(parents=True)
            for at in range(n):
                pixels = torch.randint(0, 100, (16, 16, 3), generator=noise) + 100 * number
                Image.fromarray(pixels.to(torch.uint8).numpy()).save(folder / f"pictures/{split}/{name}/{at}.png")


def environment(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{ROOT}:{folder}", "OMP_NUM_THREADS": "1"}


def launch(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """One command to its end; the processes that it launches have interpreters of their own."""
    return visionlib("train", *arguments, cwd=folder, **environment(folder))


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """One command, to be interrupted."""
    return subprocess.Popen(
        [sys.executable, "-m", "visionlib", "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, **environment(folder)},
    )


def settings(model: str, **changes: object) -> list[object]:
    given = {
        "model": model if model in MODEL_NAMES else f"networks:{model}",
        "epochs": 3,
        "batch_size": 10,
        "device": "cpu",
        "precision": "fp32",
        **changes,
    }
    return ["pictures", *(word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", value))]


def train_as(folder: Path, processes: int, out: str | Path, *arguments: object) -> Path:
    """Train in so many processes, which the test starts itself."""
    done = visionlib_processes(processes, "train", *arguments, "--out", out, cwd=folder, **environment(folder))
    assert [process.returncode for process in done] == [0] * processes, [process.stderr for process in done]
    assert "".join(process.stdout for process in done).count("next: visionlib test") == 1
    assert len(re.findall("epoch +1/", "".join(process.stderr for process in done))) == 1
    return folder / out


def history(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def children(process: subprocess.Popen[str]) -> list[int]:
    """Identifiers of a process's children, the oldest first."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("the system does not list processes")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            found += [int(entry.name)] if parent == process.pid else []
    return sorted(found)
