"""The processes that train one network together: rank, shard of a batch, and collective operations.

torchrun starts them, or `visionlib train --devices`. In a process that was started alone every operation here returns
at once. How gradients are added: `visionlib.training.parts`.
"""

import datetime
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.errors import ConfigError, TrainingError

_T = TypeVar("_T")
_GRACE_S = 3.0
"""Wait before a lost process is reported: the launcher ends this one sooner, and so one cause is reported."""
_MEETING_S, _TRY = 60, datetime.timedelta(seconds=1)
"""How long to look for the first process, and how long to try each of its addresses."""


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

    def own_parts(self, parts: int, rank: int | None = None) -> range:
        """Return the numbers of the parts of a step that a process computes, by default this one.

        There is at least one for each process; with fewer parts than processes every process is a part itself.
        """
        rank, parts = self.rank if rank is None else rank, max(parts, self.size)
        return range(rank * parts // self.size, (rank + 1) * parts // self.size)

    def shard(self, draws: Int64[Tensor, "n ..."], parts: int = 1) -> Int64[Tensor, "_ ..."]:
        """Return the images of a batch that lie in this process's parts."""
        own, parts = self.own_parts(parts), max(parts, self.size)
        return draws[first_image(own.start, len(draws), parts) : first_image(own.stop, len(draws), parts)]

    def sum_rows(
        self,
        rows: Float32[Tensor, "m n"],
        counts: Sequence[int],
        add: Callable[[Float32[Tensor, "_ _"]], Float32[Tensor, "_"]],
    ) -> Float32[Tensor, "n"]:
        """Return the sum of all processes' rows, as `add` adds them.

        Every process sums a slice of all rows, and gathers the other slices. That is the traffic of an all-reduce,
        whose order of additions depends on the number of processes.

        Args:
            rows: of this process; the number of processes divides their length.
            counts: number of rows of each process, by rank.
            add: adds the rows of all processes, by rank.
        """
        m, n = rows.shape
        width = n // self.size
        slices = rows.view(m, self.size, width).transpose(0, 1).reshape(-1, width)
        received = rows.new_empty(sum(counts), width)
        dist.all_to_all_single(received, slices, list(counts), [m] * self.size)
        total = rows.new_empty(self.size, width)
        # Not gloo's all_gather, which takes two to three times as long.
        dist.all_to_all_single(total, add(received).expand(self.size, width).contiguous())
        return total.view(-1)

    def all_reduce_max(self, *values: int) -> tuple[int, ...]:
        """Return each value's maximum over all processes."""
        if self.size == 1:
            return values
        table = torch.tensor(values)
        dist.all_reduce(table, dist.ReduceOp.MAX)
        return tuple(table.tolist())

    def broadcast_state(self, model: nn.Module) -> None:
        """Give a model the first process's numbers in every process, where no seed has drawn the same."""
        if self.size > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.data, 0)

    def check_agreement(self, facts: Mapping[str, str]) -> None:
        """Check that all processes begin with the same; the first one tells of a difference, and all end.

        Args:
            facts: by name.
        Raises:
            ConfigError: in the first process.
            SystemExit: in the others.
        """
        if self.size == 1:
            return
        everyone: list[Any] = [None] * self.size
        dist.all_gather_object(everyone, (socket.gethostname(), dict(facts)))
        _, expected = everyone[0]
        for rank, (host, other) in enumerate(everyone):
            for name in (*expected, *other):
                if (here := expected.get(name)) != (there := other.get(name)):
                    if not self.is_first:
                        sys.exit(2)  # as the command does for that error
                    problem = f"{name} is {there}, and in the first process {here}"
                    remedy = "start all with the same data, settings and versions, on equal hardware"
                    raise ConfigError(f"process {rank} of {self.size} on {host}", problem, remedy)

    def broadcast(self, value: _T) -> _T:
        """Return the first process's value in every process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]


SINGLE_PROCESS = ProcessGroup()


def first_image(part: int, n: int, parts: int) -> int:
    """Return the place in a batch of n images at which a part begins; sizes of parts differ by one image at most."""
    return part * (n // parts) + min(part, n % parts)


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


def is_restartable() -> bool:
    """Whether torchrun starts this process again if one fails: with the same command, to go on with the same run."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def count_restarts_left() -> int:
    """Return how many times torchrun will still start all processes again."""
    allowed, done = (os.environ.get(f"TORCHELASTIC_{name}", "0") for name in ("MAX_RESTARTS", "RESTART_COUNT"))
    return max(0, int(allowed) - int(done))


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
            backend = "cpu:gloo,cuda:nccl" if is_cuda else "gloo"
            dist.init_process_group(backend, store=_find_store(group), rank=group.rank, world_size=group.size)
        yield
        dist.barrier()  # no process may close its connections while others still use them
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        time.sleep(_GRACE_S)
        raise TrainingError(
            f"process {group.rank} of {group.size}",
            f"another one ended ({str(error).splitlines()[0]})",
            "torchrun starts them again, and they go on from the last checkpoint"
            if count_restarts_left()
            else "see what that one said; then go on with --resume",
        ) from error
    finally:
        if owns_group and dist.is_initialized():
            dist.destroy_process_group()


def _find_store(group: ProcessGroup) -> Any:
    """Find the store in which processes under torchrun leave their addresses; None for torch's choice.

    torchrun's own outlives a restart, with addresses of processes that are gone. So the first process opens one, and
    leaves its port in torchrun's. An old port there is that of a dead process, and refuses a connection.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    host, deadline = os.environ["MASTER_ADDR"], time.monotonic() + _MEETING_S
    known = dist.TCPStore(host, int(os.environ["MASTER_PORT"]), is_master=False)  # type: ignore[attr-defined]
    if group.is_first:
        store = dist.TCPStore(host, 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
        known.set("visionlib-port", str(store.port))
        return store
    while True:
        try:
            return dist.TCPStore(host, int(known.get("visionlib-port")), is_master=False, timeout=_TRY)  # type: ignore[attr-defined]
        except dist.DistError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _is_lost(error: RuntimeError) -> bool:
    """Whether an error means that another process is gone."""
    signs = ("connection closed", "connection reset", "connection refused", "broken pipe", "timed out")
    return isinstance(error, dist.DistError) or any(sign in str(error).lower() for sign in signs)
