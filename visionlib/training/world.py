"""The processes that train one network together: which one this is, its share of a batch, what all must agree on.

torchrun starts them, or `visionlib train --devices`; PyTorch's DistributedDataParallel averages their gradients. A
process that was started alone is a world of its own, and everything here is then done without a word to anybody.
"""

import inspect
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from visionlib.errors import ConfigError, TrainingError

_T = TypeVar("_T")
_GRACE_S = 3.0
"""A process whose fellow died waits so long before it says so: the launcher ends it sooner, and one cause is told."""


@dataclass(frozen=True)
class World:
    """The processes of a training, as one of them sees it.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine, from 0: that of its GPU.
        local_size: number of processes on its machine, which share its processor cores.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and talks to people."""
        return self.rank == 0

    def share(self, positions: Int64[Tensor, "n"]) -> Int64[Tensor, "_"]:
        """Give this process's part of a batch: every so many-th, so that parts differ by at most one image."""
        return positions[self.rank :: self.size]

    def wrap(self, model: nn.Module) -> nn.Module:
        """Give what to call in training, so that gradients are averaged over all processes as they come."""
        if self.size == 1:
            return model
        # The name that torch 2.13 gave it; in both, nobody's statistics or weights are overwritten: they are in step
        # from the start, by seed or by checkpoint.
        names = inspect.signature(DistributedDataParallel).parameters
        synced = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
        options: dict[str, Any] = {synced: False, "init_sync": False}
        return DistributedDataParallel(model, gradient_as_bucket_view=True, static_graph=True, **options)

    def weigh(self, loss: Tensor, own: int, total: int) -> Tensor:
        """Scale the mean loss of this process's part so that the average over processes is the mean over the batch."""
        return loss if self.size == 1 else loss * (own * self.size / total)

    def sum(self, *figures: Tensor) -> tuple[Tensor, ...]:
        """Add up figures over all processes."""
        totals = tuple(figure.clone() for figure in figures)
        if self.size > 1:
            for total in totals:
                dist.all_reduce(total)
        return totals

    def agree(self, *wishes: int) -> tuple[int, ...]:
        """Give each figure's largest value in any process: what one of them wants, all of them do."""
        if self.size == 1:
            return wishes
        table = torch.tensor(wishes)
        dist.all_reduce(table, dist.ReduceOp.MAX)
        return tuple(table.tolist())

    def average_statistics(self, model: nn.Module) -> None:
        """Let every process have the mean of all processes' normalisation statistics.

        They are exponential averages, and so the mean of what each has seen is what one process would have of all.
        """
        if self.size > 1:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.size

    def collect(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """Give the first process everybody's state, in the order of their numbers, and the others nothing."""
        if self.size == 1:
            return [state]
        states: list[Any] | None = [None] * self.size if self.is_first else None
        dist.gather_object(state, states)
        return states or []

    def hear(self, value: _T) -> _T:
        """Give every process the first one's value."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


ALONE = World()


def find_world() -> World:
    """Tell which process this is, by what its launcher has put into the environment.

    Raises:
        ConfigError: if the launcher's figures are no numbers, or contradict each other.
    """
    names = {"rank": "RANK", "size": "WORLD_SIZE", "local_rank": "LOCAL_RANK", "local_size": "LOCAL_WORLD_SIZE"}
    found = {name: os.environ[key] for name, key in names.items() if key in os.environ}
    if "rank" not in found or "size" not in found:
        return ALONE
    try:
        world = World(**{name: int(value) for name, value in found.items()})
    except ValueError:
        world = World(-1)
    if not (0 <= world.rank < world.size and 0 <= world.local_rank < world.local_size <= world.size):
        told = ", ".join(f"{names[name]}={value}" for name, value in found.items())
        raise ConfigError("environment", f"{told} is no process of several", "start them with torchrun or --devices")
    return world


@contextmanager
def joined(world: World, device: str) -> Iterator[None]:
    """Meet the other processes while the block runs.

    Raises:
        TrainingError: if another one dies.
    """
    if world.size == 1:
        yield
        return
    is_cuda = device.startswith("cuda")
    if is_cuda:
        torch.cuda.set_device(device)
    is_ours = not dist.is_initialized()
    try:
        if is_ours:
            # What lies on a processor, such as flags and names, goes by gloo in any case.
            dist.init_process_group("cpu:gloo,cuda:nccl" if is_cuda else "gloo", rank=world.rank, world_size=world.size)
        yield
        dist.barrier()  # else one may leave, and take its connections down, while others are still on the line
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        time.sleep(_GRACE_S)
        raise TrainingError(
            f"process {world.rank} of {world.size}",
            f"another one ended ({str(error).splitlines()[0]})",
            "see what that one said; then go on with --resume",
        ) from error
    finally:
        if is_ours and dist.is_initialized():
            dist.destroy_process_group()


def _is_lost(error: RuntimeError) -> bool:
    """Tell whether an error means that another process cannot be reached any more."""
    words = ("connection closed", "connection reset", "connection refused", "broken pipe", "timed out")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)
