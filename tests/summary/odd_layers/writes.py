"""Writes into tensors, slices and views."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.summary.odd_layers.layer import (
    OddLayer,
    conv,
    odd,
)


def _written(
    write: Callable[[Tensor, Tensor], Any], shape: Callable[[Tensor], list[int]] | None = None
) -> Callable[[Tensor], Tensor]:
    """Write into zeros."""

    def write_into_zeros(x: Tensor) -> Tensor:
        z = x.new_zeros(x.shape if shape is None else shape(x))
        write(z, x)
        return z

    return write_into_zeros


def _assign(z: Tensor, at: Any, values: Tensor) -> Tensor:
    z[at] = values
    return z


ALL = slice(None)


def _mutated(x: Tensor, write: Callable[[Tensor], Any]) -> Tensor:
    y = x.clone()
    write(y)
    return y


def _checkerboard(a: Tensor, b: Tensor) -> Tensor:
    z = torch.empty_like(a)
    z[..., ::2, ::2], z[..., 1::2, 1::2] = a[..., ::2, ::2], a[..., 1::2, 1::2]
    z[..., ::2, 1::2], z[..., 1::2, ::2] = b[..., ::2, 1::2], b[..., 1::2, ::2]
    return z


def _row_after_row(x: Tensor) -> Tensor:
    """Every row sees a part of the row above it, as in message passing by rows (SCNN)."""
    y = x.clone()
    for row in range(1, x.shape[2]):
        y[:, :, row] = y[:, :, row] + 0.5 * torch.tanh(y[:, :, row - 1])
    return y


def _filled(parts: list[Tensor]) -> Tensor:
    z = parts[0].new_empty(parts[0].shape[0], sum(part.shape[1] for part in parts), *parts[0].shape[2:])
    start = 0
    for part in parts:
        z[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    return z


def _canvas(x: Tensor) -> Tensor:
    z = torch.zeros(x.shape[0], 4, x.shape[2] + 2, x.shape[3] + 3, dtype=x.dtype)
    z[:, :, 1:-1, 2:-1] = x
    return z


WRITES: dict[str, OddLayer] = {
    "written_channels": odd(
        _written(lambda z, x: (_assign(z, (ALL, slice(2)), x[:, :2]), _assign(z, (ALL, slice(2, 4)), x[:, 2:])))
    ),
    "written_channels_swapped": odd(
        _written(lambda z, x: (_assign(z, (ALL, slice(2)), x[:, 2:]), z[:, 2:].copy_(x[:, :2])))
    ),
    "written_channel_by_channel": odd(_written(lambda z, x: [_assign(z, (ALL, c), x[:, 3 - c]) for c in range(4)])),
    "written_half_of_the_channels": odd(_written(lambda z, x: _assign(z, (ALL, slice(2, None)), x[:, 2:] * 2))),
    "written_every_other_column": odd(
        _written(lambda z, x: _assign(z, (..., slice(None, None, 2)), x[..., 1::2])), margin=None
    ),
    "written_inside": odd(
        _written(lambda z, x: _assign(z, (..., slice(1, -1), slice(2, -2)), x[..., 1:-1, 2:-2])), margin=0
    ),
    "written_checkerboard": odd(
        lambda x, a, b: _checkerboard(a(x), b(x)), a=conv(4, 3, 1), b=conv(4, 3, padding=1), margin=8
    ),
    "written_by_index_copy": odd(_written(lambda z, x: z.index_copy_(1, torch.tensor([3, 0, 1]), x[:, :3]))),
    "written_by_index_add": odd(_written(lambda z, x: z.index_add_(1, torch.tensor([0, 1, 1, 0]), x))),
    "written_by_index_put": odd(_written(lambda z, x: _assign(z, (ALL, torch.tensor([2, 0, 3, 1])), x))),
    "written_by_index_fill": odd(lambda x: x.index_fill(1, torch.tensor([0, 3]), 0.0)),
    "written_by_scatter": odd(
        _written(lambda z, x: z.scatter_(1, torch.tensor([1, 3, 0, 2]).view(1, 4, 1, 1).expand(x.shape), x))
    ),
    "written_by_scatter_add": odd(
        lambda x: x.scatter_add(1, torch.tensor([1, 1, 0, 0]).view(1, 4, 1, 1).expand(x.shape), x)
    ),
    "written_by_slice_scatter": odd(lambda x, conv: x.slice_scatter(conv(x), 1, 1, 3), conv=conv(4, 2, padding=1)),
    "written_by_select_scatter": odd(lambda x: x.select_scatter(x[:, 3], 1, 0)),
    "written_by_diagonal_scatter": odd(
        lambda x: torch.diagonal_scatter(x, x.mean((2, 3))[..., None].expand(-1, -1, 10), 0, 2, 3), margin=0
    ),
    "written_by_masked_fill": odd(lambda x: x.masked_fill((torch.arange(12) < 5).view(1, 1, 1, 12), 0.0), margin=0),
    "written_by_masked_fill_at_the_end": odd(
        lambda x: x.masked_fill((torch.arange(10) > 6).view(1, 1, 10, 1), 1.0), margin=0
    ),
    "written_by_masked_fill_1d": odd(lambda x: x.masked_fill(torch.arange(12) < 2, 0.0), size=(2, 12), margin=0),
    "written_by_where_on_half": odd(
        lambda x: torch.where(torch.arange(12) < 6, x, torch.zeros((), dtype=x.dtype)), margin=0
    ),
    "written_by_where_with_a_branch": odd(
        lambda x, net: torch.where(torch.arange(12) < 6, net(x), x), net=conv(padding=1), margin=None
    ),
    "written_by_masked_channels": odd(
        lambda x: x.masked_fill(torch.tensor([True, False, False, False]).view(1, 4, 1, 1), 0.0)
    ),
    "written_by_masked_scatter": odd(
        lambda x, conv: x.masked_scatter(torch.ones(x.shape, dtype=torch.bool), conv(x)),
        conv=conv(kernel=1),
        margin=None,
    ),
    "written_by_bool_assignment": odd(
        lambda x: _mutated(
            x, lambda y: _assign(y, (ALL, ALL, ALL, torch.arange(12) > 8), torch.zeros((), dtype=x.dtype))
        ),
        margin=0,
    ),
    "written_by_where": odd(lambda x: torch.where((torch.arange(12) % 3 == 0), x, x.flip(1)), margin=None),
    "written_by_where_on_values": odd(lambda x: torch.where(x > 0, x, 0.1 * x)),
    "written_rows_of_zeros": odd(lambda x: _mutated(x, lambda y: y[:, :, 3:6].zero_()), margin=0),
    "written_shifts": odd(
        _written(
            lambda z, x: (
                _assign(z, (ALL, 0, ALL, slice(1, None)), x[:, 0, :, :-1]),
                _assign(z, (ALL, 1, ALL, slice(None, -1)), x[:, 1, :, 1:]),
                _assign(z, (ALL, slice(2, 4)), x[:, 2:]),
            )
        ),
        margin=None,
    ),
    "written_sum_with_neighbor": odd(lambda x: _mutated(x, lambda y: y[..., 1:].add_(x[..., :-1])), margin=None),
    "written_row_after_row": odd(lambda x: _row_after_row(x), margin=None),
    "written_through_transposed_view": odd(
        lambda x: _mutated(x, lambda y: y.transpose(2, 3)[:, :, 2:].mul_(x.transpose(2, 3)[:, :, :-2])), margin=None
    ),
    "written_through_flat_view": odd(
        lambda x: _mutated(x, lambda y: y.view(-1, 2, 2, *x.shape[2:])[:, 0].add_(x[:, 2:]))
    ),
    "written_through_chunks": odd(
        lambda x: _mutated(
            x, lambda y: [part.mul_(other) for part, other in zip(y.chunk(2, 1), x.chunk(2, 1)[::-1], strict=True)]
        )
    ),
    "written_to_out": odd(lambda x: torch.add(x, x.flip(1), out=torch.empty_like(x))),
    "written_to_out_of_slice": odd(_written(lambda z, x: torch.mul(x[:, :2], x[:, 2:], out=z[:, 1:3]))),
    "written_to_preallocated_list": odd(
        lambda x, a, b: _filled([a(x), b(x)]), a=conv(4, 2, padding=1), b=conv(4, 3, kernel=5, padding=2)
    ),
    "written_by_addcmul": odd(lambda x: _mutated(x, lambda y: y.addcmul_(x.flip(1), x, value=0.5).clamp_(min=-9.0))),
    "written_by_unsqueeze": odd(lambda x: _mutated(x, lambda y: y.unsqueeze_(2).squeeze_(2).relu_())),
    "written_by_fill_diagonal": odd(
        lambda x: x * _mutated(torch.ones(10, 12, dtype=x.dtype), lambda y: y.fill_diagonal_(2.0)), margin=0
    ),
    "written_constants_around": odd(
        lambda x: torch.cat([x.new_zeros(x.shape[0], 1, *x.shape[2:]), x, x.new_ones(x.shape[0], 1, *x.shape[2:])], 1)
    ),
    "written_to_complex_parts": odd(
        lambda x: torch.view_as_real(torch.complex(x[:, :2], x[:, 2:]) * (1 + 2j)).movedim(-1, 2).flatten(1, 2)
    ),
    "written_by_padded_canvas": odd(lambda x: _canvas(x), margin=0),
    "written_by_put_along": odd(
        _written(lambda z, x: z.flatten(1).scatter_(1, torch.arange(480).flip(0).expand(x.shape[0], -1), x.flatten(1))),
        margin=None,
    ),
}
