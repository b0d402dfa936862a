"""`check_network`: one small batch through a user-defined network, in both modes, before anything is written.

A built-in network is not checked, and so keeps its bits. Every finding is one line: what was found, how to fix it.
"""

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionlib.errors import ConfigError, ModelError, VisionlibError
from visionlib.inference.device import compute_environment
from visionlib.inference.prediction import pad_batch
from visionlib.inference.preprocessing import prepare_inputs, scale_width
from visionlib.models import MODELS
from visionlib.models.state_file import encode_state
from visionlib.training.initialization import find_stem
from visionlib.training.job import TrainingJob
from visionlib.training.preserved_state import copy_network, preserved_network, seeded_generators
from visionlib.training.schedule import scale_side

_IMAGES = 4
_USUAL_SIDES_PX = (28, 32, 48, 64, 96, 112, 128, 224, 256, 299)
"""Sizes to try for a network that does not run at that of the images."""


def check_network(network: nn.Module, job: TrainingJob) -> None:
    """Check that a user-defined network can be trained by the job, saved, and used afterwards; it stays as it was.

    Args:
        network: on the job's device.
        job: gives images, classes, resolutions and precision.
    Raises:
        ModelError: if it has nothing to train or weights that are not float32; if its forward pass raises, or returns
            anything but floating-point logits of shape (n, classes), in training or in eval mode; if no gradient
            reaches its weights; if its extra state cannot be kept.
        ConfigError: if it takes images of one size, and the resolutions have several.
    """
    if job.config.model in MODELS:
        return
    name = job.config.model
    _check_weights(name, network)
    is_averaged = job.config.averaging != "none"
    if is_averaged:
        copy_network(network)
    state = _list_shapes(network, has_caches=is_averaged)
    with (
        preserved_network(network),
        seeded_generators(job.compute, job.config.seed),
        compute_environment(job.compute),
    ):
        height = job.split.image_size[0]
        final = job.final_input_size[0]
        others = sorted({scale_side(fraction, height) for fraction in job.config.resolutions} - {final})
        failures = {side: error for side in (final, *others) if (error := _find_failure(network, job, side))}
        if failures:
            raise _describe_failures(network, job, failures)
        if changed := [
            key for key, shape in _list_shapes(network, has_caches=is_averaged).items() if state.get(key) != shape
        ]:
            problem = f"its forward pass adds or resizes the buffer {changed[0]}, so that a new network differs from it"
            remedy = "register it in __init__ in its size, or keep it as a plain attribute"
            raise ModelError(name, problem, remedy)
    try:
        encode_state(network)
    except VisionlibError as error:
        raise ModelError(name, error.problem, error.remedy) from error


@contextmanager
def blamed_errors(network: nn.Module, job: TrainingJob) -> Iterator[None]:
    """Report an error that a user-defined network's own code raises later, such as in a batch of another size.

    Raises:
        ModelError: instead of that error. In several processes, where a lost one raises too, it stays as it is.
    """
    try:
        yield
    except VisionlibError:
        raise
    except Exception as error:  # a user's code can raise anything
        files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
        own = {_find_file(type(module)) for module in network.modules()} & files
        if job.config.model in MODELS or job.group.size > 1 or not own:
            raise
        problem = f"{Path(own.pop()).name} raised {type(error).__name__} in training: {error}"
        raise ModelError(job.config.model, problem, "fix it; --debug shows where it raised") from error


def _find_file(cls: type) -> str:
    """Find the file of a class that is not torch's; without one, a name that no file has."""
    if cls.__module__.partition(".")[0] == "torch":
        return ""
    try:
        return inspect.getsourcefile(cls) or ""
    except (OSError, TypeError):  # from a shell
        return ""


def list_idle_settings(network: nn.Module, job: TrainingJob) -> list[str]:
    """List the settings that find nothing to act on in a network, each as a line that says why."""
    config = job.config
    head = job.find_head(network)
    learning = head if config.freeze and head is not None else network
    trained = [p for p in learning.parameters() if p.requires_grad or config.freeze]
    images = job.first_images(1).float()
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.bias is not None]
    idle = {
        "whiten": (config.whiten and find_stem(network, images) is None, "convolution of the images to initialize"),
        "sam_radius": (config.sam_radius > 0 and not any(p.ndim > 1 for p in trained), "weights of two dimensions"),
        "optimizer muon": (config.optimizer == "muon" and not any(p.ndim > 2 for p in trained), "convolution filters"),
        "norm_bias_factor": (config.norm_bias_factor != 1 and not norms, "batch normalization with biases"),
        "body_rate_factor": (
            config.body_rate_factor != 1 and head is None,
            "linear layer with an output for each class",
        ),
    }
    return [f"{name} has no effect: the network has no {what}" for name, (is_idle, what) in idle.items() if is_idle]


def _list_shapes(network: nn.Module, *, has_caches: bool) -> dict[str, torch.Size]:
    """List the shapes of the buffers that a run keeps, or of all, since an average pairs these by their order."""
    kept = network.state_dict()
    buffers = network.named_buffers(remove_duplicate=False)
    return {name: buffer.shape for name, buffer in buffers if has_caches or name in kept}


def _check_weights(name: str, network: nn.Module) -> None:
    parameters = dict(network.named_parameters())
    if not parameters:
        raise ModelError(name, "has no weights to train", "register its layers as attributes or in an nn.ModuleList")
    trained = {key: value for key, value in parameters.items() if value.requires_grad}
    if not trained:
        problem = f"all of its {len(parameters)} weight tensors are frozen (requires_grad is False)"
        raise ModelError(name, problem, "leave at least its last layer trainable, by requires_grad_(True)")
    other = next((key for key, value in trained.items() if value.dtype != torch.float32), None)
    if other is not None:
        dtype = str(trained[other].dtype).removeprefix("torch.")
        problem = f"has weights of {dtype} ({other}), and training updates weights of float32"
        raise ModelError(name, problem, "call .float() on it; --precision bf16 makes the products faster, not .half()")


def _find_failure(network: nn.Module, job: TrainingJob, side_px: int) -> Exception | None:
    """Run a batch in both modes; return the first error, if there is one."""
    inputs = prepare_inputs(job.first_images(_IMAGES).to(job.compute.device), job.mean, job.std, side_px)
    try:
        with torch.enable_grad():
            logits = _run(network.train(), inputs, job, "training")
            _check_gradients(network, logits, job)
        with torch.no_grad():
            _run(network.eval(), pad_batch(inputs), job, "eval")
    except Exception as error:  # a user's code can raise anything
        return error
    return None


def _run(network: nn.Module, inputs: Tensor, job: TrainingJob, mode: str) -> Tensor:
    """Run a batch, and check that the outputs are logits of the data's classes."""
    name, n, k = job.config.model, len(inputs), len(job.split.classes)
    device_type = torch.device(job.compute.device).type
    # A copy, since a network may change its inputs in place.
    with torch.autocast(device_type, torch.bfloat16, enabled=job.compute.precision == "bf16"):
        outputs: Any = network(inputs.clone())
    remedy = f"its forward must return floating-point logits of shape ({n}, {k}) for {n} images of {k} classes"
    if not isinstance(outputs, Tensor):
        parts = f" with the keys {', '.join(map(str, outputs))}" if isinstance(outputs, dict) else ""
        parts = f" of {len(outputs)}" if isinstance(outputs, tuple | list) else parts
        raise ModelError(name, f"returned a {type(outputs).__name__}{parts} in {mode} mode, not a tensor", remedy)
    if outputs.ndim == 2 and len(outputs) == n and outputs.shape[1] != k and outputs.is_floating_point():
        many = "few" if outputs.shape[1] < k else "many"
        problem = f"returned {outputs.shape[1]} logits per image in {mode} mode, too {many} for {k} classes"
        raise ModelError(name, problem, f"build it with {k} outputs: an argument num_classes gets this number")
    if outputs.ndim != 2 or len(outputs) != n or not outputs.is_floating_point():
        kind = str(outputs.dtype).removeprefix("torch.")
        problem = f"returned a {kind} tensor of shape {tuple(outputs.shape)} in {mode} mode"
        raise ModelError(name, problem, remedy)
    return outputs


def _check_gradients(network: nn.Module, logits: Tensor, job: TrainingJob) -> None:
    trained = [p for p in network.parameters() if p.requires_grad]
    if logits.requires_grad:
        loss = F.cross_entropy(logits.float(), job.split.labels[: len(logits)].to(logits.device))
        if any(gradient is not None for gradient in torch.autograd.grad(loss, trained, allow_unused=True)):
            return
    remedy = "remove no_grad, inference_mode and detach() between its weights and its outputs"
    raise ModelError(job.config.model, "no gradient reaches its weights from its outputs in training mode", remedy)


def _describe_failures(network: nn.Module, job: TrainingJob, failures: dict[int, Exception]) -> VisionlibError:
    """Make one error of those at all resolutions, by running the network on inputs of other sizes and channels."""
    name, (height, width) = job.config.model, job.split.image_size
    side_px, error = next(iter(failures.items()))
    reason = error.problem if isinstance(error, VisionlibError) else f"{type(error).__name__}: {error}"
    is_one_size = height not in failures and _find_failure(network, job, height) is None
    if is_one_size:
        problem = f"runs on images of {height} px, and not of {side_px} px, a training resolution ({reason})"
        return _with_cause(ConfigError(name, problem, "train it at full size: set --resolutions 1"), error)
    if isinstance(error, VisionlibError):
        return error
    channels = job.split.channels
    problem = f"its forward raised {reason} on a batch of shape {(_IMAGES, channels, side_px, _width(job, side_px))}"
    remedy = "fix it; --debug shows where it raised"
    if other := next((c for c in (1, 3, 4) if c != channels and _runs_on(network, job, (c, height, width))), None):
        remedy = f"it takes {other} channels and the images have {channels}: an argument in_channels gets this number"
    elif side := next((s for s in _USUAL_SIDES_PX if _runs_on(network, job, (channels, s, _width(job, s)))), None):
        remedy = f"it takes images of {side} px: resize them by --image-size {side}, and set --resolutions 1"
    return _with_cause(ModelError(name, problem, remedy), error)


def _width(job: TrainingJob, side_px: int) -> int:
    return scale_width(*job.split.image_size, side_px)


def _runs_on(network: nn.Module, job: TrainingJob, size: tuple[int, int, int]) -> bool:
    inputs = torch.zeros(2, *size, device=job.compute.device)
    try:
        with torch.no_grad():
            _run(network.eval(), inputs, job, "eval")
    except Exception:  # as above
        return False
    return True


def _with_cause(error: VisionlibError, cause: Exception) -> VisionlibError:
    error.__cause__ = cause
    return error
