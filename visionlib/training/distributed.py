"""The processes that train one network together: rank, shard of a batch, and collective operations.

torchrun starts them, or `visionlib train --devices`; PyTorch's DistributedDataParallel averages their gradients. In a
process that was started alone every operation here returns at once.
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
"""Wait before a lost process is reported: the launcher ends this one sooner, and so one cause is reported."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a training, seen from one of them.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine, from 0: that of its GPU.
        local_size: number of processes on its machine, which divide its CPU cores.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and logs."""
        return self.rank == 0

    def shard(self, draws: Int64[Tensor, "n ..."]) -> Int64[Tensor, "_ ..."]:
        """Return this process's images of a batch, strided by rank, so that shards differ by at most one image."""
        return draws[self.rank :: self.size]

    def distribute(self, model: nn.Module) -> nn.Module:
        """Wrap a model so that its gradients are averaged over all processes during the backward pass."""
        if self.size == 1:
            return model
        # torch 2.13 renamed the argument. Neither weights nor statistics are broadcast: all processes begin with the
        # same ones, by seed or by checkpoint.
        names = inspect.signature(DistributedDataParallel).parameters
        synced = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
        options: dict[str, Any] = {synced: False, "init_sync": False}
        return DistributedDataParallel(model, gradient_as_bucket_view=True, static_graph=True, **options)

    def scale_loss(self, loss: Tensor, own: int, total: int) -> Tensor:
        """Scale the mean loss of this shard so that the average over processes is the mean over the batch."""
        return loss if self.size == 1 else loss * (own * self.size / total)

    def all_reduce_sum(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Return the sums over all processes."""
        totals = tuple(value.clone() for value in values)
        if self.size > 1:
            for total in totals:
                dist.all_reduce(total)
        return totals

    def all_reduce_max(self, *values: int) -> tuple[int, ...]:
        """Return each value's maximum over all processes."""
        if self.size == 1:
            return values
        table = torch.tensor(values)
        dist.all_reduce(table, dist.ReduceOp.MAX)
        return tuple(table.tolist())

    def average_buffers(self, model: nn.Module) -> None:
        """Average normalization statistics over all processes.

        They are exponential averages, so the mean over the shards is the statistic of the whole batches.
        """
        if self.size > 1:
            for buffer in model.buffers():
                if buffer.is_floating_point() and buffer.layout == torch.strided:
                    dist.all_reduce(buffer)
                    buffer /= self.size

    def broadcast_state(self, model: nn.Module) -> None:
        """Give a model the first process's numbers in every process, where no seed has drawn the same."""
        if self.size > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.data, 0)

    def gather(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """Return every process's state, by rank, in the first process, and nothing in the others."""
        if self.size == 1:
            return [state]
        states: list[Any] | None = [None] * self.size if self.is_first else None
        dist.gather_object(state, states)
        return states or []

    def broadcast(self, value: _T) -> _T:
        """Return the first process's value in every process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


SINGLE_PROCESS = ProcessGroup()


def find_process_group() -> ProcessGroup:
    """Read rank and size of this process from the environment that its launcher has set.

    Raises:
        ConfigError: if the variables are no numbers, or contradict each other.
    """
    names = {"rank": "RANK", "size": "WORLD_SIZE", "local_rank": "LOCAL_RANK", "local_size": "LOCAL_WORLD_SIZE"}
    variables = {name: os.environ[key] for name, key in names.items() if key in os.environ}
    if "rank" not in variables or "size" not in variables:
        return SINGLE_PROCESS
    try:
        group = ProcessGroup(**{name: int(value) for name, value in variables.items()})
    except ValueError:
        group = ProcessGroup(-1)
    if not (0 <= group.rank < group.size and 0 <= group.local_rank < group.local_size <= group.size):
        text = ", ".join(f"{names[name]}={value}" for name, value in variables.items())
        raise ConfigError("environment", f"{text} is no process of several", "start them with torchrun or --devices")
    return group


@contextmanager
def connected(group: ProcessGroup, device: str) -> Iterator[None]:
    """Connect to the other processes while the block runs.

    Raises:
        TrainingError: if another one dies.
    """
    if group.size == 1:
        yield
        return
    is_cuda = device.startswith("cuda")
    if is_cuda:
        torch.cuda.set_device(device)
    owns_group = not dist.is_initialized()
    try:
        if owns_group:
            # Tensors on the CPU, such as flags and names, always go by gloo.
            dist.init_process_group("cpu:gloo,cuda:nccl" if is_cuda else "gloo", rank=group.rank, world_size=group.size)
        yield
        dist.barrier()  # no process may close its connections while others still use them
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        time.sleep(_GRACE_S)
        raise TrainingError(
            f"process {group.rank} of {group.size}",
            f"another one ended ({str(error).splitlines()[0]})",
            "see what that one said; then go on with --resume",
        ) from error
    finally:
        if owns_group and dist.is_initialized():
            dist.destroy_process_group()


def _is_lost(error: RuntimeError) -> bool:
    """Whether an error means that another process is gone."""
    signs = ("connection closed", "connection reset", "connection refused", "broken pipe", "timed out")
    return isinstance(error, dist.DistError) or any(sign in str(error).lower() for sign in signs)
