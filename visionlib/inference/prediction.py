"""Logits and embeddings of images, without changing the network."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float16, Float32, UInt8
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.eval_mode import Precision, eval_mode
from visionlib.inference.folding import folded_network
from visionlib.inference.novelty import mark_unusual
from visionlib.inference.preprocessing import check_pixels, prepare_inputs
from visionlib.models.model_record import Novelty
from visionlib.progress import progress_bar

MIN_BATCH_ROWS = 16
"""Smallest number of images in a forward pass, see `pad_batch`."""
_INPUT_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""Dtypes of weights that inputs can have, too; quantized weights take others."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """A network's outputs, in the images' order.

    Attributes:
        logits: one per class.
        embeddings: inputs of the last linear layer that runs; None for a network without one, or one whose last linear
            layer takes anything but a row per image. Values beyond 65504 become infinite.
        classes: names, in the order of the logits; empty where they are not known.
        temperature: divisor of the logits that calibrates the probabilities; None for none.
        novelty: tells images that are unlike anything in training; None where it is not known.
    """

    logits: Float32[Tensor, "n k"]
    embeddings: Float16[Tensor, "n d"] | None
    classes: tuple[str, ...] = ()
    temperature: float | None = None
    novelty: Novelty | None = None

    @property
    def is_unusual(self) -> tuple[bool, ...] | None:
        """For each image, whether it is unlike anything in training; None where that cannot be told."""
        return None if self.novelty is None else tuple(mark_unusual(self.logits, self.novelty).tolist())

    @property
    def probabilities(self) -> Float32[Tensor, "n k"]:
        """Softmax of the logits, divided by the temperature where there is one."""
        return (self.logits.double() / (self.temperature or 1.0)).softmax(1).float()

    def top(self, k: int = 5) -> list[tuple[tuple[str, float], ...]]:
        """Return the k likeliest classes of each image with their probabilities, the likeliest first.

        Classes without known names have their number as name; of equal probabilities the first class comes first.
        """
        names = self.classes or tuple(map(str, range(self.logits.shape[1])))
        values, order = self.probabilities.cpu().sort(dim=1, descending=True, stable=True)
        k = max(1, min(k, len(names)))
        rows = zip(values[:, :k].tolist(), order[:, :k].tolist(), strict=True)
        return [tuple((names[at], value) for value, at in zip(*row, strict=True)) for row in rows]


def predict(
    model: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    side_px: int | None = None,
    batch_size: int = 250,
    precision: Precision = "fp32",
    mirror: bool = False,
) -> Predictions:
    """Predict images in eval mode, on the device of the model's weights; the model is left as it was.

    On a CPU the built-in networks give the same logits, bit for bit, for every batch size. On a GPU the algorithm may
    depend on the shape of the batch, and with it the last digits.

    Args:
        model: returns a row of logits per image.
        images: pixels as stored, on any device; the results lie on the same.
        mean: per channel, as fractions of 255.
        std: per channel, as fractions of 255.
        side_px: height of the network's inputs, if it works on shrunk images.
        batch_size: images per forward pass; at least 1.
        precision: of convolutions and products; bf16 by autocast, the weights keep their dtype.
        mirror: average the logits of every image and of its mirror image; the embeddings are those of the image.
    Raises:
        ConfigError: if the images are not pixels as stored.
        ModelError: if the model returns anything but a row of logits per image, or its weights are of several dtypes
            and it runs on inputs of none; the message names it.
        ValueError: if batch_size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, and it is {batch_size}")
    check_pixels(images)
    n = len(images)
    device = next(itertools.chain(model.parameters(), model.buffers()), images).device
    logits: list[Tensor] = []
    embeddings: list[Tensor | None] = []
    with (
        eval_mode(model, precision=precision),
        folded_network(model, precision) as folded,  # before the network has a hook of ours
        last_linear_inputs(model) as linear_inputs,
        progress_bar("predicting", n, "images") as advance,
    ):
        # Even without images the number of logits has to be found out: the network gets a black one.
        source = images if n else images.new_zeros(1, *images.shape[1:])
        for chunk in torch.split(source, batch_size):
            inputs = prepare_inputs(chunk.to(device), mean, std, side_px)
            mirrored = inputs.flip(3) if mirror else None  # before the network changes its inputs in place
            rows = _forward(folded, inputs)
            embeddings.append(_as_embeddings(linear_inputs, rows=len(chunk), device=images.device))
            if mirrored is not None:
                rows = (rows + _forward(folded, mirrored)) / 2
            logits.append(rows.to(images.device))
            advance(sum(map(len, logits)))
    known = [embedding for embedding in embeddings if embedding is not None]
    # Joined first and narrowed afterwards: within a caller's autocast torch cannot join float16 on a CPU.
    joined = torch.cat(known)[:n].to(torch.float16) if len(known) == len(embeddings) else None
    return Predictions(torch.cat(logits)[:n], joined)


def predict_logits(model: nn.Module, images: UInt8[Tensor, "n c h w"], **options: Any) -> Float32[Tensor, "n k"]:
    """Return the logits of `predict`, whose options and errors are the same."""
    return predict(model, images, **options).logits


def pad_batch(inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "_m c h w"]:
    """Repeat the images of a small batch up to `MIN_BATCH_ROWS`, so that each gets the logits of a large batch.

    Libraries multiply matrices of few rows by other code than larger ones, which rounds differently: below 2 everywhere
    (a matrix times a vector), below 16 on Intel CPUs.
    """
    n = len(inputs)
    return inputs if n == 0 or n >= MIN_BATCH_ROWS else inputs[torch.arange(MIN_BATCH_ROWS, device=inputs.device) % n]


def run_network(model: nn.Module, inputs: Float[Tensor, "n c h w"]) -> Any:
    """Run a network on inputs in the dtype of its weights.

    That is the dtype of its first floating-point tensor. Where there are several dtypes, the first tensor may belong to
    a layer that runs late, so that the other dtypes are tried if the network does not run.

    Raises:
        ModelError: if the weights are of several dtypes, and the network runs on inputs of none.
    """
    dtypes = list(
        dict.fromkeys(
            tensor.dtype
            for tensor in itertools.chain(model.parameters(), model.buffers())
            if tensor.dtype in _INPUT_DTYPES
        )
    )
    if len(dtypes) < 2:
        return model(inputs.to(dtypes[0] if dtypes else torch.float32))
    first: RuntimeError | None = None
    for dtype in dtypes:
        try:
            return model(inputs.to(dtype))
        except RuntimeError as error:
            first = first or error
    tried = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
    remedy = "cast between the dtypes of its weights in forward, or give it one, by model.float()"
    raise ModelError(type(model).__name__, f"does not run on inputs of {tried} ({first})", remedy) from first


def _forward(model: nn.Module, inputs: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n k"]:
    """Run the model on one batch, and check that it returns logits."""
    n = len(inputs)
    outputs: object = run_network(model, pad_batch(inputs))
    rows = max(n, MIN_BATCH_ROWS)
    remedy = f"its forward must return floating-point logits of shape ({rows}, classes) for {rows} images"
    if not isinstance(outputs, Tensor):
        raise ModelError(type(model).__name__, f"returned a {type(outputs).__name__}, not a tensor", remedy)
    if outputs.ndim != 2 or len(outputs) != rows or not outputs.is_floating_point():
        kind = str(outputs.dtype).removeprefix("torch.")
        raise ModelError(type(model).__name__, f"returned a {kind} tensor of shape {tuple(outputs.shape)}", remedy)
    return outputs[:n].to(torch.float32)


def _as_embeddings(linear_inputs: list[Any], *, rows: int, device: torch.device) -> Float[Tensor, "n d"] | None:
    """Take the latest input of a linear layer off the list, if it has a row per image."""
    latest = linear_inputs.pop() if linear_inputs else None
    linear_inputs.clear()
    if not isinstance(latest, Tensor) or latest.ndim != 2 or len(latest) != max(rows, MIN_BATCH_ROWS):
        return None
    return latest[:rows].to(device)


@contextmanager
def last_linear_inputs(model: nn.Module) -> Iterator[list[Any]]:
    """Yield a list that holds the input of the linear layer that ran last, while the block runs."""
    latest: list[Any] = []

    def remember(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        latest[:] = [args[0] if args else kwargs.get("input")]

    handles = [
        module.register_forward_pre_hook(remember, with_kwargs=True)
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        yield latest
    finally:
        for handle in handles:
            handle.remove()
