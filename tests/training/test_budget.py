"""The time budget of a training: its first plan by hand, and whole runs on a clock that the network moves."""

import dataclasses
import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.interrupting import interrupt_after, same_weights, without_times
from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError
from visionlib.inference.device import choose_compute
from visionlib.models import build_model
from visionlib.runs import Run, read_json, read_json_lines
from visionlib.runs.fields import parse_record
from visionlib.runs.training_records import BudgetRecord
from visionlib.training import TrainConfig, resume, train
from visionlib.training.budget import fit_time_budget, measure_seconds_per_image
from visionlib.training.job import TrainingJob, make_job
from visionlib.training.pace import Pace, TimeBudget
from visionlib.training.replanning import mean_step_seconds


def make_timed_job(split: ImageSplit, config: TrainConfig) -> TrainingJob:
    return TrainingJob(split, config, choose_compute("cpu", "fp32"), (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("max_s", "steps", "epochs"),
    # Of 200 images in batches of 100, half of the steps take 0.1 s and half 0.4; the margin is 5 % of the time.
    [(0.26, 1, 1), (0.79, 3, 2), (100.0, 380, 190), (1e9, 2000, 1000)],
)
def test_the_first_plan_by_hand(
    max_s: float, steps: int, epochs: int, small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {(8, False): 0.001, (16, False): 0.004}
    monkeypatch.setattr("visionlib.training.budget._time_kinds", lambda *_: speeds)
    monkeypatch.setattr("time.perf_counter", lambda: 0.0)
    config = TrainConfig(model="resnet20", batch_size=100, device="cpu", precision="fp32", resolutions=(0.5, 1.0))
    fitted = fit_time_budget(make_timed_job(small_shapes.train, config), max_s)
    assert fitted.pace == Pace.of_steps(steps)
    assert fitted.config.epochs == epochs
    assert fitted.budget == TimeBudget(max_s, 0.0, speeds)
    assert fitted.budget is not None
    stored = parse_record(BudgetRecord, json.loads(json.dumps(fitted.budget.to_dict())))
    assert TimeBudget.of_record(stored) == fitted.budget


def test_sam_steps_take_longer(small_shapes: Dataset) -> None:
    config = TrainConfig(batch_size=100, resolutions=(0.5, 1.0), sam_radius=0.02, sam_start=0.75)
    speeds = {(8, False): 0.001, (16, False): 0.004, (16, True): 0.006}
    job = make_timed_job(small_shapes.train, config)
    assert mean_step_seconds(job, speeds) == pytest.approx(0.5 * 0.1 + 0.25 * 0.4 + 0.25 * 0.6)
    # From 60 % on, 15 of the 40 parts to go are without SAM and 25 with it.
    assert mean_step_seconds(job, speeds, 0.6) == pytest.approx(0.375 * 0.4 + 0.625 * 0.6)
    assert mean_step_seconds(job, speeds, 0.9) == pytest.approx(0.6)


def test_too_little_time_for_one_step_is_an_error(small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visionlib.training.budget._time_kinds", lambda *_: {(16, False): 0.02})
    job = make_timed_job(small_shapes.train, TrainConfig(model="resnet20", batch_size=100, device="cpu"))
    with pytest.raises(ConfigError, match=r"max_seconds: 1 are too few: one step takes 2 s here, .*; set it higher"):
        fit_time_budget(job, 1.0)


@pytest.mark.parametrize("max_s", [0.0, -5.0, math.nan, math.inf])
def test_a_time_that_is_none_is_refused(max_s: float, small_shapes: Dataset) -> None:
    job = make_timed_job(small_shapes.train, TrainConfig(model="resnet20", device="cpu"))
    with pytest.raises(ConfigError, match=r"max_seconds: \S+ is no time to train for; set a number above 0"):
        fit_time_budget(job, max_s)


def test_a_slow_machine_measures_parts_of_batches(small_shapes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first steps take all of the time; then each kind has one step, with an eighth of the images."""
    config = TrainConfig(model="resnet20", batch_size=100, device="cpu", resolutions=(0.5, 1.0), sam_radius=0.1)
    speeds = {(8, False): 0.01, (16, False): 0.03, (16, True): 0.05}
    now, sizes = [0.0], []

    def step(_: object, images: torch.Tensor, labels: torch.Tensor, **settings: Any) -> tuple[torch.Tensor, int]:
        now[0] += speeds[settings["side_px"], settings["is_sam"]] * len(labels)
        sizes.append(len(labels))
        return torch.zeros(()), 0

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr("visionlib.training.step.TrainingStep.__call__", step)
    job = make_timed_job(small_shapes.train, config)
    model = build_model("resnet20")
    assert measure_seconds_per_image(job, model, 0.1) == pytest.approx(speeds)
    assert sizes == [12] * 4  # whole batches would take 54 s
    assert measure_seconds_per_image(job, model) == pytest.approx(speeds)
    assert sizes[4:] == [100] * 18


def test_measuring_changes_nothing(small_shapes: Dataset) -> None:
    config = TrainConfig(model="resnet20", batch_size=50, resolutions=(0.5, 1.0), device="cpu", precision="fp32")
    config = config.replace(sam_radius=0.1, sam_start=0.75)
    job, _ = make_job(small_shapes, config, choose_compute("cpu", "fp32"))
    model = build_model("resnet20")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    measured = measure_seconds_per_image(job, model)
    assert measured.keys() == {(8, False), (16, False), (16, True)}
    assert all(seconds > 0 for seconds in measured.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


class Timed(nn.Module):
    """Moves a clock by its own time for each image, and by more for those of a busy machine.

    Args:
        clock: seconds, in a list of one.
        seconds_per_image: as a function of the time.
    """

    def __init__(self, clock: list[float], seconds_per_image: Callable[[float], float]) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 10)
        self._clock, self._seconds_per_image = clock, seconds_per_image

    def __deepcopy__(self, memo: object) -> "Timed":
        return Timed(self._clock, self._seconds_per_image)  # a copy has the same clock

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            self._clock[0] += self._seconds_per_image(self._clock[0]) * len(inputs)
        outputs: torch.Tensor = self.linear(inputs.mean((2, 3)))
        return outputs


CONFIG = TrainConfig(batch_size=25, device="cpu", precision="fp32", resolutions=(0.5, 1.0), checkpoint_s=0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, in a list of one; only the network moves it."""
    seconds = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: seconds[0])
    return seconds


def train_timed(
    clock: list[float], seconds_per_image: Callable[[float], float], dataset: Dataset, out: Path, **arguments: Any
) -> Run:
    torch.manual_seed(0)
    return train(dataset, CONFIG, model=Timed(clock, seconds_per_image), out=out, **arguments)


@pytest.mark.parametrize(
    ("n", "max_s", "factor"),
    [(200, 20.0, 1.0), (200, 20.0, 3.0), (200, 20.0, 0.5), (50, 10.0, 3.0), (200, 1.5, 1.5), (200, 1.5, 0.7)],
)
def test_a_training_takes_its_budget_and_no_longer(
    n: int, max_s: float, factor: float, clock: list[float], small_shapes: Dataset, tmp_path: Path
) -> None:
    """An image takes 10 ms, so an epoch of 200 takes 2 s; from the middle on the machine is slower or faster."""
    dataset = dataclasses.replace(
        small_shapes, splits={**small_shapes.splits, "train": small_shapes.train.subset(torch.arange(n))}
    )
    messages: list[str] = []
    run = train_timed(
        clock,
        lambda now: 0.01 * (factor if now > max_s / 2 else 1),
        dataset,
        tmp_path / "run",
        max_seconds=max_s,
        log=messages.append,
    )
    training, history = read_json(run.training), read_json_lines(run.history)
    budget = training["time_budget"]
    # A step of 25 images takes 0.25 s before the change; less than two of them are left over.
    assert min(0.85 * max_s, max_s - 0.5) <= budget["seconds_used"] <= 1.1 * max_s
    # Everything that the clock shows is told: the check of the network before the budget begins is the rest.
    assert budget["seconds_measuring"] + training["seconds_training"] == pytest.approx(budget["seconds_used"])
    images = sum(record["images"] for record in history)
    assert training["images"] == images == 25 * Pace.from_list(training["pace"]).total_steps
    assert training["epochs"] == pytest.approx(images / n)
    assert training["images_per_second"] == pytest.approx(images / training["seconds_training"])
    assert [record["epoch"] for record in history] == list(range(1, len(history) + 1))
    assert all(record["images"] == n for record in history[:-1])
    assert {record["resolution_px"] for record in history} <= {8, 16}
    assert history[-1]["resolution_px"] == 16
    assert any(f"fit into {max_s:g} s" in message for message in messages)
    used = f"{budget['seconds_used']:.1f} of {max_s:g} s used; besides: loading the data "
    assert any(message.startswith(used) for message in messages)


def busy_later(now: float) -> float:
    return 0.03 if now > 10 else 0.01


def test_a_recorded_pace_repeats_a_run_bit_for_bit(
    clock: list[float], small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also interrupted after some steps of the changed pace, and resumed without a clock."""
    run = train_timed(clock, busy_later, small_shapes, tmp_path / "run", max_seconds=20.0)
    pace = Pace.from_run(run)
    assert len(pace.segments) > 1
    again = train_timed(clock, lambda now: 0.002, small_shapes, tmp_path / "again", pace=pace)
    assert same_weights(again, run)
    assert without_times(again) == without_times(run)
    assert read_json(again.training)["pace"] == read_json(run.training)["pace"]
    with monkeypatch.context() as patched:
        interrupt_after(pace.segments[-1].first_step - 3, patched, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit):
            train_timed(clock, lambda now: 0.002, small_shapes, tmp_path / "parts", pace=pace)
    network = Timed(clock, lambda now: 5.0)
    parts = resume(tmp_path / "parts", model=network, dataset=small_shapes)
    assert same_weights(parts, run)
    assert without_times(parts) == without_times(run)


def test_an_interrupted_run_goes_on_with_the_time_that_is_left(
    clock: list[float], small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_after(30 + 7, patched, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit):
            train_timed(clock, busy_later, small_shapes, tmp_path / "run", max_seconds=20.0)
    stopped = clock[0]
    clock[0] = 1000.0  # a long break, which takes no time of the budget; the machine is busy afterwards
    run = resume(tmp_path / "run", model=Timed(clock, busy_later), dataset=small_shapes)
    budget = read_json(run.training)["time_budget"]
    assert 17 <= budget["seconds_used"] <= 22
    assert clock[0] - 1000 + stopped == pytest.approx(20, abs=3)
    again = train_timed(clock, lambda now: 0.002, small_shapes, tmp_path / "again", pace=Pace.from_run(run))
    assert same_weights(again, run)


def test_a_pace_is_refused_with_a_time_and_where_there_is_none(
    finished_run: Run, small_shapes: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="a given pace has its number of steps already; leave one of them out"):
        train(small_shapes, out=tmp_path / "run", pace=Pace.of_steps(3), max_seconds=1.0)
    with pytest.raises(ConfigError, match="has none; take a finished run with --max-seconds"):
        Pace.from_run(finished_run)


def test_time_used_before_is_taken_off(small_shapes: Dataset) -> None:
    config = TrainConfig(model="resnet20", batch_size=50, device="cpu", precision="fp32", resolutions=(0.5,))
    job, _ = make_job(small_shapes, config, choose_compute("cpu", "fp32"))
    fitted = fit_time_budget(job, 100.0, seconds_before=60.0)
    assert fitted.budget is not None
    assert 60 < fitted.budget.seconds_measuring < 80
    with pytest.raises(ConfigError, match="max_seconds: 5 are too few"):
        fit_time_budget(job, 5.0, seconds_before=6.0)
