"""The optimisers: SGD, and Muon, which lets the filters of a convolution learn in step with each other."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from visionlib.training.config import TrainConfig

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic that drives singular values towards 1, fast rather than exactly; Jordan 2024."""
_NEWTON_SCHULZ_STEPS = 3


def make_optimizer(
    model: nn.Module, config: TrainConfig, number_format: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """Make the optimiser of the settings.

    Args:
        model: its parameters are to be learned.
        config: the settings; the rates of each step are set before it, see `set_rates`.
        number_format: of Muon's products of matrices.
    """
    groups = _group_parameters(model, config)
    if config.optimizer == "muon":
        return Muon(
            groups,
            momentum=config.muon_momentum,
            others_momentum=config.momentum,
            number_format=number_format,
        )
    return torch.optim.SGD(
        groups,
        lr=config.peak_learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        fused=True,
    )


def _group_parameters(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Part the parameters: filters for Muon, biases of normalisations if they have a rate of their own, all others."""
    is_muon, factor = config.optimizer == "muon", config.norm_bias_factor
    biases = [
        layer.bias
        for layer in model.modules()
        if factor != 1 and isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.bias is not None
    ]
    apart = {id(bias) for bias in biases}
    rest = [p for p in model.parameters() if id(p) not in apart]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if is_muon and p.ndim > 2], "is_orthogonalized": True, "weight_decay": 0.0},
        {"params": [p for p in rest if not is_muon or p.ndim <= 2], "weight_decay": config.weight_decay},
        # A decay is times the rate: divided, it pulls no more than in the other weights.
        {"params": biases, "rate_factor": factor, "weight_decay": config.weight_decay / factor},
    ]
    shared = {"is_orthogonalized": False, "rate_factor": 1.0}
    return [{**shared, **group} for group in groups if group["params"]]


def set_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, learning_rate: float) -> None:
    """Set the rates of a step: the schedule's, and for Muon's filters as high a share of their own peak."""
    for group in optimizer.param_groups:
        is_filters = group.get("is_orthogonalized", False)
        peak = config.muon_learning_rate / config.peak_learning_rate if is_filters and config.peak_learning_rate else 1
        rate = learning_rate * peak * group.get("rate_factor", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def begin_state(optimizer: torch.optim.Optimizer) -> None:
    """Give weights the state that their first step would begin with, so that no step needs anything new."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state: dict[str, Tensor] = optimizer.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            if group.get("is_orthogonalized", False) and "length" not in state:
                state["length"] = parameter.detach().norm()


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton-Schulz for filters; plain Nesterov SGD for the rest.

    Each update of a layer's filters, seen as a matrix with one row per output channel, is replaced by the nearest
    matrix whose directions are all equally strong. So rare directions are learned as fast as common ones. The length of
    each layer's filters stays what it is at first: the rate is the share of that length that a step changes. A
    normalisation behind the layer makes up for any length.

    Args:
        groups: parameters with their `weight_decay`, and whether they are filters, `is_orthogonalized`: weights of more
            than two dimensions, the first of them the output channels.
        momentum: Nesterov momentum of the filters.
        others_momentum: Nesterov momentum of the others.
        number_format: of the products of matrices; bf16 is enough.
    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; for convolutions airbench94_muon, which keeps lengths
        as well.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        momentum: float,
        others_momentum: float,
        number_format: torch.dtype,
    ) -> None:
        self._number_format = number_format
        super().__init__(
            [{**group, "momentum": momentum if group["is_orthogonalized"] else others_momentum} for group in groups],
            {"lr": 0.0},
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step with the rates of the groups."""
        begin_state(self)
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
                    self._turn_one(*layer, momentum=group["momentum"], rate=float(group["lr"]))
                continue
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, gradients)
            updates = tuple(torch._foreach_add(gradients, buffers, alpha=group["momentum"]))
            if group["is_orthogonalized"]:
                self._turn(parameters, updates, group["lr"])
            else:
                _descend(parameters, updates, group["lr"])

    def _turn(self, parameters: list[Tensor], updates: tuple[Tensor, ...], rate: float | Tensor) -> None:
        """Add a share of a layer's length of the orthogonalised update, and bring the filters back to that length."""
        lengths = [self.state[p]["length"] for p in parameters]
        torch._foreach_mul_(parameters, torch._foreach_div(lengths, torch._foreach_norm(parameters)))
        # With channels last, as the memory is laid out, this copies nothing; the order of columns does not matter.
        matrices = [update.movedim(1, -1).flatten(1) for update in updates]
        shares = torch._foreach_mul(lengths, rate)
        torch._foreach_div_(shares, [min(matrix.shape) ** 0.5 for matrix in matrices])
        turned = orthogonalize_all(matrices, self._number_format)
        for parameter, update, share in zip(parameters, turned, shares, strict=True):
            filters = parameter.movedim(1, -1)
            filters.sub_(update.reshape(filters.shape) * share)

    def _turn_one(self, parameter: Tensor, gradient: Tensor, buffer: Tensor, *, momentum: float, rate: float) -> None:
        """Do the same for one layer on a processor, where what counts is how often its memory is gone through."""
        # The last dimension is the one whose numbers lie together; the order of columns does not matter.
        filters, gradient, buffer = (
            tensor if parameter.is_contiguous() else tensor.movedim(1, -1) for tensor in (parameter, gradient, buffer)
        )
        torch.add(gradient, buffer, alpha=momentum, out=buffer)
        update = torch.empty(filters.shape, dtype=self._number_format)
        torch.add(gradient, buffer, alpha=momentum, out=update)
        matrix = update.flatten(1)
        is_tall = len(matrix) > matrix.shape[1]
        x = matrix.mT if is_tall else matrix
        gram = x @ x.mT
        # Instead of x all that is made of it is divided by its length.
        length = gram.diagonal().float().sum().sqrt() + 1e-7
        kept = self.state[parameter]["length"]
        share = -kept * rate / min(x.shape) ** 0.5
        step = (_turning(gram / length.square()) * (share / length)) @ x
        step = (step.mT if is_tall else step).reshape(filters.shape)
        torch.add(step, filters, alpha=float(kept / filters.norm()), out=filters)


def _descend(parameters: list[Tensor], updates: tuple[Tensor, ...], rate: float | Tensor) -> None:
    """Subtract the updates times the rate: a number, or, where a step is recorded, where it will stand."""
    if isinstance(rate, Tensor):
        torch._foreach_sub_(parameters, torch._foreach_mul(updates, rate))
    else:
        torch._foreach_add_(parameters, updates, alpha=-rate)


def orthogonalize(
    matrices: Float[Tensor, "k m n"], number_format: torch.dtype = torch.float32
) -> Float[Tensor, "k m n"]:
    """Bring the singular values near 1, at most 1.21, and keep the singular vectors.

    The polynomials are worked out on the smaller of the two products of a matrix with itself, and multiplied with it
    once at the end: the same in exact arithmetic as multiplying in every step, and much faster for long filters.

    Args:
        matrices: of one shape; a matrix of zeros stays one.
        number_format: of the products of matrices.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(number_format)
    turned: Tensor = (_turning(x @ x.mT) @ x).to(matrices.dtype)
    return turned.mT if is_tall else turned


def _turning(gram: Float[Tensor, "*k m m"]) -> Float[Tensor, "*k m m"]:
    """Give what orthogonalises a matrix of length 1 by being multiplied with it, of its product with itself."""
    a, b, c = _NEWTON_SCHULZ
    product = None
    for step in range(_NEWTON_SCHULZ_STEPS):
        polynomial = b * gram + c * (gram @ gram)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        product = polynomial if product is None else polynomial @ product
        if step + 1 < _NEWTON_SCHULZ_STEPS:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    return product


def orthogonalize_all(matrices: list[Tensor], number_format: torch.dtype) -> list[Tensor]:
    """Orthogonalise matrices of any shapes, as a GPU likes it.

    What has equally many rows, the short way round, is worked out together; columns of zeros, which bring all to one
    length, change nothing.

    Args:
        matrices: each becomes what `orthogonalize` makes of it.
        number_format: of the products of matrices.
    """
    wide = [matrix.mT if len(matrix) > matrix.shape[1] else matrix for matrix in matrices]
    places: dict[int, list[int]] = defaultdict(list)
    for at, matrix in enumerate(wide):
        places[len(matrix)].append(at)
    turned = dict[int, Tensor]()
    for alike in places.values():
        columns = max(wide[at].shape[1] for at in alike)
        stack = torch.stack([F.pad(wide[at], (0, columns - wide[at].shape[1])) for at in alike])
        turned.update(zip(alike, orthogonalize(stack, number_format), strict=True))
    shown = [turned[at][:, : matrix.shape[1]] for at, matrix in enumerate(wide)]
    return [
        update.mT if len(matrix) > matrix.shape[1] else update for matrix, update in zip(matrices, shown, strict=True)
    ]
