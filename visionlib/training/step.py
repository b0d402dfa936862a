"""One step of learning, which every training loop here is made of.

On a GPU it is replayed as one CUDA graph; on a processor it is taken by this library's own kernels where there are any.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor, nn

from visionlib.errors import ConfigError
from visionlib.models import MODELS, prepare_inputs
from visionlib.models.normalize import scale_width
from visionlib.training.fit import Fit
from visionlib.training.kernels.fusion import fuse_norms
from visionlib.training.optimizer import begin_state, set_rates
from visionlib.training.sharpness import moved_uphill

_WARM_UP_STEPS = 3
"""Before a step is recorded: libraries choose and load their kernels in the first ones."""

Outcome = tuple[Float32[Tensor, ""], Int64[Tensor, ""]]
"""The mean loss of a step's images, and how many of them were right; still on the device."""


class TrainingStep:
    """Show a batch to a network, and let it learn from it.

    A GPU works through the hundreds of kernels of a step faster than a processor can start them one by one. `capture`
    records them once for each size of a batch, and from then on they are started all at once: the same kernels, and so
    the same bits.

    Args:
        model: in training mode, on the fit's device.
        optimizer: of its weights.
        fit: everything else.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, fit: Fit) -> None:
        if fit.compute.kernels == "own" and (fit.config.model in MODELS or fit.config.kernels == "on"):
            model = fuse_norms(model)
        self._model, self._optimizer, self._fit = fit.world.wrap(model), optimizer, fit
        self._recordings: dict[tuple[int, int, bool], _Recording] = {}
        self._is_on_gpu = torch.device(fit.compute.device).type == "cuda"
        if fit.config.compile:
            self._model = torch.compile(self._model, dynamic=False)  # type: ignore[assignment]
        if self._is_on_gpu:
            # Where a recorded step finds them; a step that is not recorded rounds the same for them.
            begin_state(optimizer)
            for group in optimizer.param_groups:
                group["lr"] = torch.zeros((), device=fit.compute.device)

    def __call__(
        self,
        images: UInt8[Tensor, "n c h w"],
        labels: Int64[Tensor, "n"],
        *,
        side_px: int,
        learning_rate: float,
        batch_size: int | None = None,
        uphill: bool = False,
    ) -> Outcome:
        """Learn from one batch, or from this process's part of one of `batch_size` images.

        Args:
            images: as they are shown, see `shown_batches`, on the fit's device.
            labels: of the images.
            side_px: resolution to train at.
            learning_rate: the schedule's.
            batch_size: images that all processes learn from in this step.
            uphill: learn from uphill of the weights, as far as the settings say; see `moved_uphill`. The loss is then
                that which the images have there.
        """
        set_rates(self._optimizer, self._fit.config, learning_rate)
        inputs = prepare_inputs(images, self._fit.mean, self._fit.std, side_px)
        recording = self._recordings.get((len(labels), side_px, uphill))
        if recording is not None:
            return recording.replay(inputs, labels)
        return self._learn(inputs, labels, batch_size or len(labels), uphill)

    def capture(self, kinds: Iterable[tuple[int, int, bool]]) -> str | None:
        """Record the step for batches of these kinds, if it can be: on a GPU, alone, with a network that is known.

        A network of one's own may do something else each time, or ask the processor; a recording does not.

        Args:
            kinds: number of images and resolution of each, and whether it is learned from uphill.
        Returns:
            What went wrong, if something did; the steps are then taken one kernel at a time.
        Raises:
            ConfigError: if something did with a network that was to be compiled.
        """
        fit = self._fit
        is_known = fit.config.model in MODELS or fit.config.cuda_graphs == "on"
        if not self._is_on_gpu or not is_known or fit.config.cuda_graphs == "off" or fit.world.size > 1:
            return None
        pool = torch.cuda.graph_pool_handle()
        with self._kept_state():
            try:
                for n, side_px, uphill in kinds:
                    self._recordings[n, side_px, uphill] = self._record(n, side_px, uphill, pool)
            except RuntimeError as error:
                self._recordings.clear()
                trouble = str(error).splitlines()[0]
                if fit.config.compile:
                    raise ConfigError("compile", f"it fails for this network: {trouble}", "leave it out") from error
                return trouble
        return None

    def _learn(
        self, inputs: Float32[Tensor, "n c h w"], labels: Int64[Tensor, "n"], batch_size: int, uphill: bool
    ) -> Outcome:
        fit = self._fit
        if uphill:
            self._find_slope(inputs, labels, batch_size)
        with moved_uphill(self._model, fit.config.sam_radius) if uphill else nullcontext():
            outcome = self._go_back(inputs, labels, batch_size, min(len(labels), fit.parts))
        self._optimizer.step()
        return outcome

    def _find_slope(self, inputs: Float32[Tensor, "n c h w"], labels: Int64[Tensor, "n"], batch_size: int) -> None:
        """Leave the gradients of the first images of a step's batch."""
        world, fraction = self._fit.world, self._fit.config.sam_fraction
        total = min(batch_size, max(2 * world.size, math.ceil(batch_size * fraction)))
        own = len(range(total)[world.rank :: world.size])
        parts = min(math.ceil(self._fit.parts * fraction), max(1, own // 2))
        self._go_back(inputs[:own], labels[:own], total, parts)

    def _go_back(
        self, inputs: Float32[Tensor, "n c h w"], labels: Int64[Tensor, "n"], batch_size: int, count: int
    ) -> Outcome:
        """Leave the gradients of images in the place of earlier ones, added up over so many parts."""
        self._optimizer.zero_grad(set_to_none=True)
        n, found = len(labels), []
        for part, part_labels in zip(inputs.tensor_split(count), labels.tensor_split(count), strict=True):
            loss, hits = self._look(part, part_labels)
            loss = loss if count == 1 else loss * (len(part) / n)
            self._fit.world.weigh(loss, n, batch_size).backward()  # type: ignore[no-untyped-call]
            found.append((loss.detach(), hits))
        if len(found) == 1:
            return found[0]
        losses, hits_of_parts = zip(*found, strict=True)
        return torch.stack(losses).sum(), torch.stack(hits_of_parts).sum()

    def _look(self, inputs: Float32[Tensor, "n c h w"], labels: Int64[Tensor, "n"]) -> Outcome:
        """Show images to the network; give their mean loss, to go back from, and how many are right."""
        fit = self._fit
        device_type = torch.device(fit.compute.device).type
        with torch.autocast(device_type, torch.bfloat16, enabled=fit.compute.precision == "bf16"):
            logits = self._model(inputs)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=fit.config.label_smoothing)
        return loss, (logits.detach().argmax(1) == labels).sum()

    def _record(self, n: int, side_px: int, uphill: bool, pool: Any) -> "_Recording":
        split, device = self._fit.split, self._fit.compute.device
        shape = (n, split.channels, side_px, scale_width(*split.image_size, side_px))
        inputs = torch.zeros(shape, device=device).to(memory_format=torch.channels_last)
        labels = torch.zeros(n, dtype=torch.int64, device=device)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_STEPS):
                self._learn(inputs, labels, n, uphill)
        torch.cuda.current_stream(device).wait_stream(stream)
        self._optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=stream):
            outcome = self._learn(inputs, labels, n, uphill)
        return _Recording(graph, inputs, labels, outcome)

    @contextmanager
    def _kept_state(self) -> Iterator[None]:
        """Put weights, statistics, the optimiser's state and the generator back as they were, in their places."""
        device = torch.device(self._fit.compute.device)
        state = [value for of in self._optimizer.state.values() for value in of.values() if isinstance(value, Tensor)]
        tensors = [*self._model.parameters(), *self._model.buffers(), *state]
        kept = [tensor.detach().clone() for tensor in tensors]
        with torch.random.fork_rng([device], device_type="cuda"):
            try:
                yield
            finally:
                with torch.no_grad():
                    torch._foreach_copy_(tensors, kept)


@dataclass(frozen=True)
class _Recording:
    """A recorded step: it reads its inputs from, and leaves its outcome in, the same places each time."""

    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    labels: Tensor
    outcome: Outcome

    def replay(self, inputs: Tensor, labels: Tensor) -> Outcome:
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.graph.replay()
        loss, hits = self.outcome
        return loss.clone(), hits.clone()
