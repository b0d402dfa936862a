"""Slow, obvious versions to compare with."""

import itertools

import torch
from torch import nn

from visionlib.summary.verify import run_with_positive_weights


def field_by_gradient(model: nn.Module, input_size: tuple[int, ...], around: int = 4) -> list[tuple[int, ...] | None]:
    """Measure the largest field of every module call by gradients, at positions in the middle of a large image.

    Args:
        model: any module that takes one image.
        input_size: large enough that no field leaves the border.
        around: how many positions next to each other are tried, on the diagonal and beside it, so that all phases are
            among them.
    Returns:
        Pixels per axis, or None for an output that has no positions of its own.
    """
    log, image = run_with_positive_weights(model, input_size)
    axes = len(input_size) - 1
    fields: list[tuple[int, ...] | None] = []
    for call in log.calls:
        output = call.output
        if output is None or output.ndim != axes + 2 or not output.requires_grad:
            fields.append(None)
            continue
        largest = [0] * axes
        for step, aside in itertools.product(range(around), range(2)):
            offsets = [step, *[step + aside] * (axes - 1)]
            places = [min(size // 2 + offset, size - 1) for size, offset in zip(output.shape[2:], offsets, strict=True)]
            unit = output[(slice(None), slice(None), *places)]
            weights = torch.linspace(0.5, 1.5, unit.numel(), dtype=torch.float64).view(unit.shape)
            (gradient,) = torch.autograd.grad((unit * weights).sum(), image, retain_graph=True)
            for axis in range(axes):
                others = [dim for dim in range(image.ndim) if dim != axis + 2]
                lines = gradient.abs().amax(others).nonzero().flatten().tolist()
                largest[axis] = max(largest[axis], lines[-1] - lines[0] + 1 if lines else 0)
        fields.append(tuple(largest))
    return fields
