"""A run ends in time, whatever the machine does: by a clock that the test moves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
import torch

from visionlib.data import ImageSplit
from visionlib.inference.device import choose_compute
from visionlib.training import TrainConfig
from visionlib.training.checkpoint import Progress
from visionlib.training.job import TrainingJob
from visionlib.training.loop import _count_steps_to_go, _follow_plan
from visionlib.training.pace import Pace, TimeBudget
from visionlib.training.replanning import Replanner, mean_step_seconds
from visionlib.training.schedule import is_sam_step, learning_rate, resolution_px

CONFIG = TrainConfig(batch_size=100, resolutions=(0.5, 0.5, 0.5, 0.75, 0.75, 1.0), sam_radius=0.05, sam_start=0.8)
SPEEDS = {(8, False): 3e-4, (12, False): 6e-4, (12, True): 9e-4, (16, True): 15e-4}
"""Seconds per image: a step of 100 images takes 30 to 150 ms, an epoch of 10,000 on average 6 s."""


@dataclass
class Machine:
    """Takes the steps of a run on a clock of its own, at a speed that changes.

    Attributes:
        slowdown: by the time, how many times slower a step is than it was measured.
        stalls: further seconds of a step, by its number.
        pause_s: between epochs.
    """

    slowdown: Callable[[float], float] = lambda now: 1.0
    stalls: dict[int, float] = field(default_factory=dict)
    pause_s: float = 0.0
    now: float = 0.0
    kinds: list[tuple[int, bool]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def train(self, job: TrainingJob, monkeypatch: pytest.MonkeyPatch) -> Progress:
        """Go through a run; the clock shows the seconds from its first step to its last one afterwards."""
        monkeypatch.setattr("time.perf_counter", lambda: self.now)
        progress = Progress(torch.zeros(()), torch.zeros(()))
        replanner = Replanner(job, progress)
        while True:
            step, pace = job.count_steps(progress.epoch, progress.steps), progress.pace or job.pace
            position = pace.position(step)
            kind = resolution_px(position, CONFIG.resolutions, 16), is_sam_step(position, job.config)
            seconds = SPEEDS[kind] * job.images_per_step * self.slowdown(self.now)
            self.now += seconds + self.stalls.get(step, 0.0)
            self.kinds.append(kind)
            self.rates.append(learning_rate(position, pace.total_steps, job.config))
            replanner.count_step(*kind)
            progress.steps += 1
            if not _count_steps_to_go(job, progress):
                return progress
            if progress.steps == job.steps_per_epoch:
                progress.finish_epoch({})
                self.now += self.pause_s
                progress.seconds_paused += self.pause_s
            if replanner.is_due():
                _follow_plan(replanner.plan(), job, progress)


def make_job(max_s: float, n: int = 10_000, config: TrainConfig = CONFIG) -> TrainingJob:
    """A job whose first plan is that of an even machine."""
    images = torch.zeros((1, 1, 16, 16), dtype=torch.uint8).expand(n, -1, -1, -1)
    split = ImageSplit(images, torch.zeros(n, dtype=torch.int64), ("a", "b"), torch.arange(n))
    job = TrainingJob(split, config, choose_compute("cpu", "fp32"), (0.5,), (0.5,), budget=TimeBudget(max_s, 0, SPEEDS))
    planned = Pace.of_steps(max(1, int(0.95 * max_s / mean_step_seconds(job, SPEEDS))))
    return TrainingJob(split, config, job.compute, job.mean, job.std, planned=planned, budget=job.budget)


def busy_from(begin: float, factor: float, end: float = 1e9) -> Callable[[float], float]:
    return lambda now: factor if begin <= now < end else 1.0


def hiccups(now: float) -> float:
    """Every third second is 3 times slower."""
    return 3.0 if int(now) % 3 == 0 else 1.0


MACHINES = {
    "even": Machine(),
    "busy in the middle": Machine(busy_from(50, 3)),
    "busy for a while": Machine(busy_from(30, 3, 60)),
    "busy at the end": Machine(busy_from(95, 3)),
    "busy while measured": Machine(lambda now: 0.3),
    "slower than measured": Machine(lambda now: 4.0),
    "faster from the middle on": Machine(busy_from(50, 0.5)),
    "ten times slower": Machine(busy_from(50, 10)),
    "slower and slower": Machine(lambda now: 1 + now / 20),
    "hiccups": Machine(hiccups),
    "stall in the middle": Machine(stalls={700: 20.0}),
    "stall at the beginning": Machine(stalls={0: 10.0}),
    "long evaluations": Machine(pause_s=1.0),
}


@pytest.mark.parametrize("name", MACHINES)
def test_a_run_ends_in_time_with_the_whole_schedule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = MACHINES[name]
    progress = machine.train(make_job(100.0), monkeypatch)
    assert 95 <= machine.now <= 101
    pace = progress.pace
    assert pace is None or len(pace.segments) < 300
    assert list(dict.fromkeys(machine.kinds)) == list(SPEEDS)  # all of them, in this order
    sides = [side_px for side_px, _ in machine.kinds]
    assert sides == sorted(sides)
    top = machine.rates.index(max(machine.rates))
    assert max(machine.rates) == pytest.approx(CONFIG.peak_learning_rate, rel=0.05)
    assert np.all(np.diff(machine.rates[: top + 1]) > 0)
    assert np.all(np.diff(machine.rates[top:]) < 0)
    assert machine.rates[-1] < 0.02 * CONFIG.peak_learning_rate


def test_an_even_machine_keeps_its_first_plan_until_the_margin_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    job = make_job(100.0)
    progress = machine.train(job, monkeypatch)
    assert job.planned is not None
    assert (progress.pace or job.planned).segments[0] == job.planned.segments[0]
    # 98 s of steps that take 30 ms in 15 of 30 parts, 60 ms in 9, 90 ms in 1 and 150 ms in 5: 61 ms on average.
    assert len(machine.kinds) == pytest.approx(98 / 0.061, rel=0.03)


def test_a_machine_of_twice_the_speed_takes_almost_twice_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    even, fast = Machine(), Machine(lambda now: 0.5)
    even.train(make_job(100.0), monkeypatch)
    fast.train(make_job(100.0), monkeypatch)
    assert len(fast.kinds) == pytest.approx(2 * len(even.kinds), rel=0.05)


def test_a_stall_costs_only_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    even, stalled = Machine(), Machine(stalls={700: 20.0})
    even.train(make_job(100.0), monkeypatch)
    stalled.train(make_job(100.0), monkeypatch)
    assert len(stalled.kinds) > 0.7 * len(even.kinds)


@pytest.mark.parametrize("step", [500, 1000, 1400])
def test_a_stall_past_the_end_leaves_the_last_steps_of_the_schedule(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All time is used up in one step: a last one remains, at the last resolution and near a rate of zero."""
    machine = Machine(stalls={step: 100.0})
    progress = machine.train(make_job(100.0), monkeypatch)
    assert progress.pace is not None
    assert len(machine.kinds) == step + 2
    assert machine.kinds[-1] == (16, True)
    assert 0 < machine.rates[-1] <= 0.05 / 0.8 * CONFIG.peak_learning_rate * (1 + 1e-9)


def test_a_stall_that_leaves_some_time_goes_through_the_rest_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stall begins early and ends after 98 s: ten steps and more pass through every resolution."""
    machine = Machine(stalls={30: 97.0})
    machine.train(make_job(100.0), monkeypatch)
    assert 98 < machine.now < 106
    assert list(dict.fromkeys(side_px for side_px, _ in machine.kinds)) == [8, 12, 16]
    assert len(machine.kinds) >= 41
    assert machine.rates[-1] < 0.1 * CONFIG.peak_learning_rate


@pytest.mark.parametrize(
    ("max_s", "n"), [(10.0, 50), (1.0, 50), (10.0, 1_000_000), (4.5, 10_000), (1.2, 10_000)], ids=str
)
@pytest.mark.parametrize("factor", [1.0, 2.0, 0.5])
def test_few_images_and_epochs_longer_than_the_time(
    max_s: float, n: int, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(max_s, n)
    machine = Machine(busy_from(max_s / 2, factor))
    progress = machine.train(job, monkeypatch)
    assert machine.now <= 1.1 * max_s
    # At most 1000 epochs: 50 images need no more.
    is_capped = (progress.pace or job.pace).total_steps == 1000 * job.steps_per_epoch
    assert machine.now >= 0.85 * max_s or is_capped
    sides = [side_px for side_px, _ in machine.kinds]
    assert sides == sorted(sides)
    assert sides[-1] == 16


@pytest.mark.parametrize("step_s", [1.0, 2.0, 5.0])
def test_steps_that_are_long_for_the_time(step_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large images: 20 s are few steps, which become slower in the middle."""
    config = CONFIG.replace(resolutions=(1.0,), sam_radius=0.0)
    monkeypatch.setitem(SPEEDS, (16, False), step_s / 100)
    job = make_job(20.0, 1000, config)
    machine = Machine(busy_from(10, 1.5))
    machine.train(job, monkeypatch)
    assert machine.now <= 22 + (step_s > 2) * step_s
    assert all(a > b for a, b in pairwise(machine.rates[machine.rates.index(max(machine.rates)) :]))
