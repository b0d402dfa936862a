"""Predictions of a network, without changing the network."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Float16, Float32, UInt8
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.models.normalize import prepare_inputs
from visionlib.progress import progress_bar

FEWEST_ROWS = 16
"""Smallest batch that a model processes, see `fill_batch`."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Outputs of a network for each image, in the images' order.

    Attributes:
        logits: one per class.
        embeddings: inputs of the last linear layer that runs; None for a network without one, or if those are not one
            row per image. Values beyond 65504 become infinite.
    """

    logits: Float32[Tensor, "n k"]
    embeddings: Float16[Tensor, "n d"] | None


def predict(
    model: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    side_px: int | None = None,
    batch_size: int = 250,
    precision: Literal["fp32", "bf16"] = "fp32",
    mirror: bool = False,
) -> Predictions:
    """Predict images in eval mode, on the device of the model's weights.

    Mode, statistics and gradients of the model are unchanged afterwards, even if it raised. On a CPU the built-in
    networks give the same figures, bit for bit, for every batch size. On a GPU the algorithm, and with it
    the last digits, may depend on the batch size.

    Args:
        model: gives logits, a row per image.
        images: pixels as stored, on any device; the results are on the same device.
        mean: per channel, as fractions of 255.
        std: per channel, as fractions of 255.
        side_px: height of the inputs in pixels, if the network works on shrunk images.
        batch_size: images per forward pass; at least 1.
        precision: dtype of the convolutions and matrix products; weights stay float32.
        mirror: average the logits of every image and of its mirror image; the embeddings are those of the image.
    Raises:
        ModelError: if the model returns anything but a row of logits per image; the message names it.
        ValueError: if batch_size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, and it is {batch_size}")
    n = len(images)
    device = next(itertools.chain(model.parameters(), model.buffers()), images).device
    logits: list[Tensor] = []
    embeddings: list[Tensor | None] = []
    with ExitStack() as stack:
        stack.enter_context(_eval_mode(model))
        inputs_of_last_linear = stack.enter_context(_last_linear_watched(model))
        stack.enter_context(torch.no_grad())
        # No cache: within a caller's own autocast, a torch that keeps casts made without gradients (not 2.13) would
        # hand them to the training that follows.
        stack.enter_context(
            torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)
        )
        advance = stack.enter_context(progress_bar("predicting", n, "images"))
        # Without images, a black one determines the number of logits.
        source = images if n else images.new_zeros(1, *images.shape[1:])
        for chunk in torch.split(source, batch_size):
            inputs = prepare_inputs(chunk.to(device), mean, std, side_px)
            rows = _run(model, inputs)
            embeddings.append(_as_embeddings(inputs_of_last_linear, rows=len(chunk), device=images.device))
            if mirror:
                rows = (rows + _run(model, inputs.flip(3))) / 2
            logits.append(rows.to(images.device))
            advance(sum(map(len, logits)))
    present = [embedding for embedding in embeddings if embedding is not None]
    # Concatenated first and converted afterwards: within a caller's autocast torch cannot concatenate float16 on a CPU.
    joined = torch.cat(present)[:n].to(torch.float16) if len(present) == len(embeddings) else None
    return Predictions(torch.cat(logits)[:n], joined)


def predict_logits(
    model: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    side_px: int | None = None,
    batch_size: int = 250,
    precision: Literal["fp32", "bf16"] = "fp32",
    mirror: bool = False,
) -> Float32[Tensor, "n k"]:
    """Return the logits of `predict`, whose arguments and errors are the same."""
    return predict(
        model,
        images,
        mean=mean,
        std=std,
        side_px=side_px,
        batch_size=batch_size,
        precision=precision,
        mirror=mirror,
    ).logits


def fill_batch(inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "_m c h w"]:
    """Pad a small batch by repeating its images, so that each gets the same result as in a large batch.

    Libraries use other kernels for matrices of few rows, which round differently: below 2 everywhere (a matrix times a
    vector), below 16 on Intel CPUs.
    """
    n = len(inputs)
    return inputs if n == 0 or n >= FEWEST_ROWS else inputs[torch.arange(FEWEST_ROWS, device=inputs.device) % n]


def _run(model: nn.Module, inputs: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n k"]:
    """Run the model on one batch, and check that it gives logits."""
    n = len(inputs)
    outputs: object = model(fill_batch(inputs))
    rows = max(n, FEWEST_ROWS)
    remedy = f"its forward must return floating-point logits of shape ({rows}, classes) for {rows} images"
    if not isinstance(outputs, Tensor):
        raise ModelError(type(model).__name__, f"returned a {type(outputs).__name__}, not a tensor", remedy)
    if outputs.ndim != 2 or len(outputs) != rows or not outputs.is_floating_point():
        kind = str(outputs.dtype).removeprefix("torch.")
        raise ModelError(type(model).__name__, f"returned a {kind} tensor of shape {tuple(outputs.shape)}", remedy)
    return outputs[:n].to(torch.float32)


def _as_embeddings(watched: list[Any], *, rows: int, device: torch.device) -> Float[Tensor, "n d"] | None:
    """Take the latest input of a linear layer off the list, if it is a row per image."""
    latest = watched.pop() if watched else None
    watched.clear()
    if not isinstance(latest, Tensor) or latest.ndim != 2 or len(latest) != max(rows, FEWEST_ROWS):
        return None
    return latest[:rows].to(device)


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Put every module in eval mode, and restore the mode of each afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, is_training in modes:
            module.training = is_training


@contextmanager
def _last_linear_watched(model: nn.Module) -> Iterator[list[Any]]:
    """Yield a list that holds the input of the linear layer that ran last."""
    watched: list[Any] = []

    def watch(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        watched[:] = [args[0] if args else kwargs.get("input")]

    handles = [
        module.register_forward_pre_hook(watch, with_kwargs=True)
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        yield watched
    finally:
        for handle in handles:
            handle.remove()
