"""Muon: momentum, orthogonalized by a Newton-Schulz iteration, for convolution filters."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic polynomial, which brings singular values near 1 fast rather than exactly; Jordan 2024."""
_ITERATIONS = 3


class Muon(torch.optim.Optimizer):
    """Orthogonalized momentum for filters; Nesterov SGD for all other parameters.

    A layer's update, as a matrix with a row per output channel, is replaced by the nearest orthogonal matrix, whose
    singular values are all equal. So rare directions are learned as fast as common ones. The norm of a layer's filters
    stays as it was initialized, and the rate is the relative change per step. A normalization behind the layer
    compensates any norm.

    Args:
        groups: parameters with their `weight_decay` and `is_orthogonalized`: true for weights of more than two
            dimensions, the first of them the output channels.
        momentum: Nesterov momentum of orthogonalized groups.
        sgd_momentum: Nesterov momentum of the others.
        dtype: of the matrix products; bf16 suffices.
    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; for convolutions airbench94_muon, which keeps norms
        as well.
    """

    def __init__(
        self, groups: list[dict[str, Any]], *, momentum: float, sgd_momentum: float, dtype: torch.dtype
    ) -> None:
        self._dtype = dtype
        super().__init__(
            [{**group, "momentum": momentum if group["is_orthogonalized"] else sgd_momentum} for group in groups],
            {"lr": 0.0},
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step with the rates of the groups."""
        initialize_state(self)
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            gradients = tuple(p.grad for p in parameters)
            if group["weight_decay"]:
                gradients = torch._foreach_add(gradients, parameters, alpha=group["weight_decay"])
            buffers = [self.state[p]["momentum_buffer"] for p in parameters]
            if group["is_orthogonalized"] and parameters[0].device.type == "cpu":
                for layer in zip(parameters, gradients, buffers, strict=True):
                    self._update_layer(*layer, momentum=group["momentum"], rate=float(group["lr"]))
                continue
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, gradients)
            updates = tuple(torch._foreach_add(gradients, buffers, alpha=group["momentum"]))
            if group["is_orthogonalized"]:
                self._update_layers(parameters, updates, group["lr"])
            else:
                _descend(parameters, updates, group["lr"])

    def _update_layers(self, parameters: list[Tensor], updates: tuple[Tensor, ...], rate: float | Tensor) -> None:
        """Restore the norms of filters, and subtract their orthogonalized updates, layer by layer at once."""
        norms = [self.state[p]["length"] for p in parameters]
        torch._foreach_mul_(parameters, torch._foreach_div(norms, torch._foreach_norm(parameters)))
        # Channels-last, as they lie in memory, so that nothing is copied; the order of columns does not matter.
        matrices = [update.movedim(1, -1).flatten(1) for update in updates]
        scales = torch._foreach_mul(norms, rate)
        torch._foreach_div_(scales, [min(matrix.shape) ** 0.5 for matrix in matrices])
        orthogonal = orthogonalize_all(matrices, self._dtype)
        for parameter, update, scale in zip(parameters, orthogonal, scales, strict=True):
            filters = parameter.movedim(1, -1)
            filters.sub_(update.reshape(filters.shape) * scale)

    def _update_layer(
        self, parameter: Tensor, gradient: Tensor, buffer: Tensor, *, momentum: float, rate: float
    ) -> None:
        """Do the same for one layer on a CPU, with as few passes over its memory as possible, which cost the time."""
        # The last dimension is contiguous; the order of columns does not matter.
        filters, gradient, buffer = (
            tensor if parameter.is_contiguous() else tensor.movedim(1, -1) for tensor in (parameter, gradient, buffer)
        )
        torch.add(gradient, buffer, alpha=momentum, out=buffer)
        update = torch.empty(filters.shape, dtype=self._dtype)
        torch.add(gradient, buffer, alpha=momentum, out=update)
        matrix = update.flatten(1)
        is_tall = len(matrix) > matrix.shape[1]
        x = matrix.mT if is_tall else matrix
        gram = x @ x.mT
        # Normalizing the small Gram matrix and the product spares one pass over x.
        update_norm = gram.diagonal().float().sum().sqrt() + 1e-7
        norm = self.state[parameter]["length"]
        scale = -norm * rate / min(x.shape) ** 0.5
        step = (_newton_schulz(gram / update_norm.square()) * (scale / update_norm)) @ x
        step = (step.mT if is_tall else step).reshape(filters.shape)
        torch.add(step, filters, alpha=float(norm / filters.norm()), out=filters)


def initialize_state(optimizer: torch.optim.Optimizer) -> None:
    """Create the state of every parameter of SGD or Muon now, so that no step allocates any."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state: dict[str, Tensor] = optimizer.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            if group.get("is_orthogonalized", False) and "length" not in state:
                state["length"] = parameter.detach().norm()


def _descend(parameters: list[Tensor], updates: tuple[Tensor, ...], rate: float | Tensor) -> None:
    """Subtract the updates times the rate: a number, or in a recorded step a tensor that holds it."""
    if isinstance(rate, Tensor):
        torch._foreach_sub_(parameters, torch._foreach_mul(updates, rate))
    else:
        torch._foreach_add_(parameters, updates, alpha=-rate)


def orthogonalize(matrices: Float[Tensor, "k m n"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "k m n"]:
    """Bring singular values near 1, at most 1.21, and keep the singular vectors.

    The polynomials are evaluated on the Gram matrix, on the shorter side, and multiplied with the matrix once at the
    end: the same in exact arithmetic as an iteration on the matrix, and much faster for long filters.

    Args:
        matrices: of one shape; a zero matrix stays zero.
        dtype: of the matrix products.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    orthogonal: Tensor = (_newton_schulz(x @ x.mT) @ x).to(matrices.dtype)
    return orthogonal.mT if is_tall else orthogonal


def _newton_schulz(gram: Float[Tensor, "*k m m"]) -> Float[Tensor, "*k m m"]:
    """Return the product P of the iteration's polynomials in a Gram matrix x x^T, so that P x is nearly orthogonal."""
    a, b, c = _COEFFICIENTS
    product = None
    for iteration in range(_ITERATIONS):
        polynomial = b * gram + c * (gram @ gram)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        product = polynomial if product is None else polynomial @ product
        if iteration + 1 < _ITERATIONS:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    return product


def orthogonalize_all(matrices: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Orthogonalize matrices of any shapes in few batched products, as suits a GPU.

    Matrices with the same number of rows, on the shorter side, form a batch. They are padded to one length with columns
    of zeros, which change nothing.

    Args:
        matrices: each becomes the result of `orthogonalize`.
        dtype: of the matrix products.
    """
    wide = [matrix.mT if len(matrix) > matrix.shape[1] else matrix for matrix in matrices]
    by_rows: dict[int, list[int]] = defaultdict(list)
    for number, matrix in enumerate(wide):
        by_rows[len(matrix)].append(number)
    orthogonal = dict[int, Tensor]()
    for numbers in by_rows.values():
        columns = max(wide[number].shape[1] for number in numbers)
        stack = torch.stack([F.pad(wide[number], (0, columns - wide[number].shape[1])) for number in numbers])
        orthogonal.update(zip(numbers, orthogonalize(stack, dtype), strict=True))
    unpadded = [orthogonal[number][:, : matrix.shape[1]] for number, matrix in enumerate(wide)]
    return [
        update.mT if len(matrix) > matrix.shape[1] else update
        for matrix, update in zip(matrices, unpadded, strict=True)
    ]
