"""Training steps recorded as CUDA graphs and replayed.

A GPU works through the hundreds of kernels of a step faster than a CPU can launch them one by one. A graph is recorded
once for each kind of step, and from then on launched as a whole: the same kernels, and so the same bits.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.inference.preprocessing import scale_width
from visionlib.training.job import TrainingJob

_WARM_UP_STEPS = 3
"""Before a step is recorded: libraries choose and load their kernels in the first ones."""

StepResult = tuple[Float32[Tensor, ""], Int64[Tensor, ""]]
"""The mean loss of a step's images, and the number of correct predictions; still on the device."""


class StepKind(NamedTuple):
    """The shape of a step: each kind is recorded and timed for itself."""

    n: int
    side_px: int
    is_sam: bool


@dataclass(frozen=True)
class RecordedStep:
    """A recorded step: it reads its inputs and leaves its result at the same addresses each time."""

    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    targets: Tensor
    result: StepResult

    def replay(self, inputs: Tensor, targets: Tensor) -> StepResult:
        """Take the step with other inputs."""
        self.inputs.copy_(inputs)
        self.targets.copy_(targets)
        self.graph.replay()
        loss, hits = self.result
        return loss.clone(), hits.clone()


def record_steps(
    update: Callable[[Tensor, Tensor, int, bool], StepResult],
    kinds: Iterable[StepKind],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    job: TrainingJob,
) -> dict[StepKind, RecordedStep]:
    """Record a step of each kind; model, optimizer and random generator are restored.

    Args:
        update: takes inputs, targets, their number, and whether the step is one of SAM.
        kinds: largest first, so that the others fit into its memory.
        model: that learns.
        optimizer: with its state initialized.
        job: gives device and shapes.
    Raises:
        RuntimeError: if a step cannot be recorded.
    """
    pool = torch.cuda.graph_pool_handle()
    with _restored(model, optimizer, job.compute.device):
        return {kind: _record(update, kind, optimizer, job, pool) for kind in kinds}


def _record(
    update: Callable[[Tensor, Tensor, int, bool], StepResult],
    kind: StepKind,
    optimizer: torch.optim.Optimizer,
    job: TrainingJob,
    pool: Any,
) -> RecordedStep:
    split, device = job.split, job.compute.device
    shape = (kind.n, split.channels, kind.side_px, scale_width(*split.image_size, kind.side_px))
    inputs = torch.zeros(shape, device=device).to(memory_format=torch.channels_last)
    targets = torch.zeros(kind.n, dtype=torch.int64, device=device)
    if job.config.mix != "none":
        targets = torch.zeros(kind.n, len(split.classes), device=device)
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP_STEPS):
            update(inputs, targets, kind.n, kind.is_sam)
    torch.cuda.current_stream(device).wait_stream(stream)
    optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, stream=stream):
        result = update(inputs, targets, kind.n, kind.is_sam)
    return RecordedStep(graph, inputs, targets, result)


@contextmanager
def _restored(model: nn.Module, optimizer: torch.optim.Optimizer, device: str) -> Iterator[None]:
    """Restore parameters, buffers, the optimizer's state and the generator after the block, at their addresses."""
    state = [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
    tensors = [*model.parameters(), *model.buffers(), *state]
    originals = [tensor.detach().clone() for tensor in tensors]
    with torch.random.fork_rng([torch.device(device)], device_type="cuda"):
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(tensors, originals)
