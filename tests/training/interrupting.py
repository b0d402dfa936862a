"""Interrupt a training during a step, and compare what two runs left behind."""

import json
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

from visionlib.runs import Run
from visionlib.training.step import TrainingStep


def interrupt_after(steps: int, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen during a step; later steps go on as ever."""
    real = TrainingStep.__call__
    taken = [0]

    def step(*arguments: object, **settings: object) -> object:
        taken[0] += 1
        if taken[0] == steps:
            act()
        return real(*arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingStep, "__call__", step)


def same_weights(a: Run, b: Run) -> bool:
    ours, theirs = load_file(a.weights), load_file(b.weights)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def without_times(run: Run) -> list[dict[str, object]]:
    records = [json.loads(line) for line in run.history.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k not in {"seconds", "images_per_second"}} for record in records]
