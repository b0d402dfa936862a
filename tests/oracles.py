"""Slow, obvious versions to compare with."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

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


def gini_index(values: Sequence[float]) -> float:
    """The Gini index of Chalasani et al. 2020, arXiv:1810.06583, section 3.1, term by term."""
    ordered = sorted(abs(value) for value in values)
    total, d = sum(ordered), len(ordered)
    return 1 - 2 * sum(value / total * (d - k + 0.5) / d for k, value in enumerate(ordered, 1))


def evidence_entropy(values: Sequence[float]) -> float:
    """The complexity of Bhatt et al. 2020, arXiv:2005.00631, definition 3, feature by feature."""
    total = sum(abs(value) for value in values)
    return -sum(abs(value) / total * math.log(abs(value) / total) for value in values if value)


def max_sensitivity(explain: Callable[[Tensor], Tensor], image: Tensor, noises: Iterable[Tensor]) -> float:
    """The maximum sensitivity of Yeh et al. 2019, arXiv:1901.09392, for one image and given noises, relative."""
    before = explain(image).flatten().tolist()
    largest = 0.0
    for noise in noises:
        after = explain(image + noise).flatten().tolist()
        largest = max(largest, math.sqrt(sum((a - b) ** 2 for a, b in zip(after, before, strict=True))))
    return largest / math.sqrt(sum(value**2 for value in before))


def path_integral(model: nn.Module, image: Tensor, label: int, steps: int) -> Tensor:
    """Integrated gradients of Sundararajan et al. 2017, arXiv:1703.01365, of one image, from 0, at midpoints."""
    total = torch.zeros_like(image)
    for step in range(steps):
        point = (image * ((step + 0.5) / steps)).detach().requires_grad_()
        total += torch.autograd.grad(model(point[None])[0, label], point)[0]
    return image * total / steps
