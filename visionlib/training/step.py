"""One training step: forward and backward passes of a batch, with SAM where it is due, and the optimizer's update.

Requirements:
- The same function for one CPU, one GPU and several processes.
- Gradients are accumulated over the parts of a batch, of which each process has some; batch normalization sees a part
  at a time. The update has the same bits in any number of processes, see `parts`.
- On a GPU the step can be replayed as one CUDA graph, so nothing in it may wait for a number from the device.
"""

import math
from collections.abc import Iterable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from visionlib.errors import ConfigError
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.models import MODELS
from visionlib.training.batches import Targets
from visionlib.training.cpu import accelerate
from visionlib.training.cuda_graphs import RecordedStep, StepKind, StepResult, record_steps
from visionlib.training.distributed import first_image
from visionlib.training.job import TrainingJob
from visionlib.training.muon import initialize_state
from visionlib.training.optimizer import set_rates
from visionlib.training.parts import PartSum
from visionlib.training.sam import sam_perturbation


class TrainingStep:
    """Update a network by one batch after another.

    Args:
        model: in training mode, on the job's device.
        optimizer: of its parameters.
        job: everything else.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, job: TrainingJob) -> None:
        config = job.config
        has_fixed_graph = config.model in MODELS or config.kernels == "on"
        self._network, self._model = model, accelerate(model, job.compute, has_fixed_graph=has_fixed_graph)
        self._optimizer, self._job = optimizer, job
        self._recorded: dict[StepKind, RecordedStep] = {}
        self._is_on_gpu = torch.device(job.compute.device).type == "cuda"
        if config.compile:
            self._model = torch.compile(self._model, dynamic=False)  # type: ignore[assignment]
        if self._is_on_gpu:
            # A recorded step reads rates and state from fixed addresses; a step that is not recorded rounds the same
            # with them.
            initialize_state(optimizer)
            for group in optimizer.param_groups:
                group["lr"] = torch.zeros((), device=job.compute.device)

    def __call__(
        self,
        images: UInt8[Tensor, "n c h w"],
        targets: Targets,
        *,
        side_px: int,
        learning_rate: float,
        batch_size: int | None = None,
        is_sam: bool = False,
    ) -> StepResult:
        """Update the network by one batch, or by this process's shard of a batch of `batch_size` images.

        Args:
            images: augmented, on the job's device.
            targets: labels of the images, or the weights of all classes for each.
            side_px: resolution to train at.
            learning_rate: the schedule's.
            batch_size: images of this step in all processes.
            is_sam: take the gradient at perturbed weights, see `sam_perturbation`; the loss is then the loss there.
        """
        set_rates(self._optimizer, self._job.config, learning_rate)
        inputs = prepare_inputs(images, self._job.mean, self._job.std, side_px)
        recorded = self._recorded.get(StepKind(len(targets), side_px, is_sam))
        if recorded is not None:
            return recorded.replay(inputs, targets)
        return self._update(inputs, targets, batch_size or len(targets), is_sam)

    def record(self, kinds: Iterable[StepKind]) -> str | None:
        """Record the step as a CUDA graph for batches of these kinds, where that is possible.

        That is on one GPU, with a built-in network: a user-defined one may do something else in each step, or read
        numbers from the device, unless the settings say that it does not.

        Returns:
            Why it failed, if it did; the steps are then launched kernel by kernel.
        Raises:
            ConfigError: if it failed with a network that was to be compiled.
        """
        config, group = self._job.config, self._job.group
        is_allowed = config.cuda_graphs == "on" or (config.cuda_graphs == "auto" and config.model in MODELS)
        if not self._is_on_gpu or not is_allowed or group.size > 1:
            return None
        try:
            self._recorded = record_steps(self._update, kinds, self._model, self._optimizer, self._job)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            if config.compile:
                raise ConfigError("compile", f"it fails for this network: {reason}", "leave it out") from error
            return reason
        return None

    def _update(
        self, inputs: Float32[Tensor, "n c h w"], targets: Targets, batch_size: int, is_sam: bool
    ) -> StepResult:
        job = self._job
        if is_sam:
            self._accumulate_sam_gradients(inputs, targets, batch_size)
        with sam_perturbation(self._model, job.config.sam_radius) if is_sam else nullcontext():
            result = self._accumulate_gradients(inputs, targets, batch_size, batch_size)
        self._optimizer.step()
        return result

    def _accumulate_sam_gradients(self, inputs: Float32[Tensor, "n c h w"], targets: Targets, batch_size: int) -> None:
        """Accumulate the gradients of the batch's first images, which give the direction of the perturbation."""
        fraction, parts = self._job.config.sam_fraction, self._job.parts
        total = min(batch_size, max(2, math.ceil(batch_size * fraction)))
        begins = [first_image(part, batch_size, parts) for part in range(parts)]
        total += total - 1 in begins  # a part of one image may have no variance
        self._accumulate_gradients(inputs, targets, batch_size, total)

    def _accumulate_gradients(
        self, inputs: Float32[Tensor, "n c h w"], targets: Targets, batch_size: int, total: int
    ) -> StepResult:
        """Replace the gradients by those of the mean loss over the batch's first images, summed over their parts."""
        self._optimizer.zero_grad(set_to_none=True)
        group, parts = self._job.group, self._job.parts
        begins = [min(first_image(part, batch_size, parts), total) for part in range(parts + 1)]
        used, own = sum(begin < total for begin in begins), group.own_parts(parts)
        if parts == 1:
            loss, correct = self._forward(inputs[:total], targets[:total])
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach(), correct
        step = PartSum(self._network, group, parts, used)
        for part in own[: max(0, used - own.start)]:
            images = slice(begins[part] - begins[own.start], begins[part + 1] - begins[own.start])
            step.begin()
            loss, correct = self._forward(inputs[images], targets[images])
            loss = loss * ((begins[part + 1] - begins[part]) / total)
            loss.backward()  # type: ignore[no-untyped-call]
            step.add(part, loss.detach(), correct)
        return step.finish()

    def _forward(self, inputs: Float32[Tensor, "n c h w"], targets: Targets) -> StepResult:
        """Return the mean loss, with its graph, and the number of correct predictions."""
        compute = self._job.compute
        device_type = torch.device(compute.device).type
        with torch.autocast(device_type, torch.bfloat16, enabled=compute.precision == "bf16"):
            logits = self._model(inputs)
        loss = F.cross_entropy(logits.float(), targets, label_smoothing=self._job.config.label_smoothing)
        # An image of two classes counts as one of that with the larger weight.
        labels = targets.argmax(1) if targets.is_floating_point() else targets
        return loss, (logits.detach().argmax(1) == labels).sum()
