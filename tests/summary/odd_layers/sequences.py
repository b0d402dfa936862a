"""Scans, recurrent layers, matrices and windows along rows and columns."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.summary.odd_layers.layer import (
    OddLayer,
    by_windows,
    conv,
    linear,
    odd,
    treated_as,
    weight,
)


def _scan(x: Tensor, step: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    state, steps = torch.zeros_like(x[..., 0]), []
    for column in x.unbind(-1):
        state = step(state, column)
        steps.append(state)
    return torch.stack(steps, -1)


def _scan_gated(z: Tensor, f: Tensor) -> Tensor:
    state, steps = z[..., 0], []
    for i in range(z.shape[-1]):
        state = f[..., i] * state + (1 - f[..., i]) * z[..., i]
        steps.append(state[..., None])
    return torch.cat(steps, -1)


def _over_columns(x: Tensor, net: nn.Module) -> Tensor:
    outputs: Tensor = net(x.permute(0, 2, 3, 1).flatten(0, 1))[0]
    return outputs.view(-1, *x.shape[2:], outputs.shape[2]).permute(0, 3, 1, 2)


def _cells(x: Tensor, net: nn.Module) -> Tensor:
    columns = x.permute(0, 2, 3, 1).flatten(0, 1)
    state, steps = None, []
    for i in range(x.shape[3]):
        state = net(columns[:, i], state)
        steps.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(steps, 2).view(-1, x.shape[2], 4, x.shape[3]).transpose(1, 2)


SEQUENCES: dict[str, OddLayer] = {
    "cumulative_sum": odd(lambda x: x.cumsum(3), margin=None),
    "cumulative_sum_backwards": odd(lambda x: x.flip(2).cumsum(2).flip(2), margin=None),
    "cumulative_maximum": odd(lambda x: x.cummax(3).values, margin=None),
    "cumulative_product": odd(lambda x: x.tanh().cumprod(2), margin=None),
    "cumulative_logsumexp": odd(lambda x: x.tanh().logcumsumexp(2), margin=None),
    "cumulative_mean": odd(lambda x: x.cumsum(3) / torch.arange(1, 13, dtype=x.dtype), margin=None),
    "summed_area_table": odd(lambda x: x.cumsum(2).cumsum(3), margin=None),
    "corner_pooling": odd(lambda x: x.cummax(2).values + x.flip(3).cummax(3).values.flip(3), margin=None),
    "difference": odd(lambda x: x.diff(dim=3)),
    "second_difference": odd(lambda x: x.diff(n=2, dim=2)),
    "gradient": odd(lambda x: (x[..., 2:] - x[..., :-2]) / 2),
    "numerical_gradient": odd(lambda x: torch.cat(torch.gradient(x, dim=(2, 3)), 1), margin=None),
    "trapezoids": odd(lambda x: torch.cumulative_trapezoid(x, dim=3), margin=None),
    "temporal_shift": odd(lambda x: torch.cat([F.pad(x[:, :1], (1, -1)), F.pad(x[:, 1:2], (-1, 1)), x[:, 2:]], 1)),
    "rolled_channels_apart": odd(lambda x: torch.cat([x[:, i : i + 1].roll(i - 1, 3) for i in range(4)], 1)),
    "stacked_steps": odd(lambda x: torch.stack([x[..., i] * (i + 1) for i in range(x.shape[3])], 3), margin=0),
    "stacked_steps_reversed": odd(lambda x: torch.stack([x[..., i] for i in reversed(range(x.shape[3]))], 3), margin=0),
    "stacked_running_sums": odd(lambda x: _scan(x, lambda h, step: 0.5 * h + step), margin=None),
    "stacked_pairs": odd(
        lambda x: torch.stack([x[..., i] + x[..., i + 1] for i in range(x.shape[3] - 1)], -1), margin=0
    ),
    "lstm_over_columns": odd(
        lambda x, net: _over_columns(x, net), net=lambda: nn.LSTM(4, 3, batch_first=True), margin=None
    ),
    "gru_over_columns_both_ways": odd(
        lambda x, net: _over_columns(x, net),
        net=lambda: nn.GRU(4, 3, batch_first=True, bidirectional=True),
        margin=None,
    ),
    "rnn_over_rows_two_layers": odd(
        lambda x, net: _over_columns(x.transpose(2, 3), net).transpose(2, 3),
        net=lambda: nn.RNN(4, 3, 2, batch_first=True),
        margin=None,
    ),
    "rnn_sequence_first": odd(
        lambda x, net: net(x.permute(3, 0, 2, 1).flatten(1, 2))[0].unflatten(1, (-1, x.shape[2])).permute(1, 3, 2, 0),
        net=lambda: nn.GRU(4, 3),
        margin=None,
    ),
    "lstm_projected": odd(
        lambda x, net: _over_columns(x, net), net=lambda: nn.LSTM(4, 5, proj_size=2, batch_first=True), margin=None
    ),
    "gru_cells": odd(lambda x, net: _cells(x, net), net=lambda: nn.GRUCell(4, 4), margin=None),
    "rnn_cells_1d": odd(
        lambda x, net: _cells(x[:, :, None], net)[:, :, 0], net=lambda: nn.RNNCell(4, 4), size=(2, 12), margin=None
    ),
    "lstm_cells": odd(lambda x, net: _cells(x, net), net=lambda: nn.LSTMCell(4, 4), margin=None),
    "lstm_last_state": odd(
        lambda x, net: (
            net(x.permute(0, 2, 3, 1).flatten(0, 1))[1][0][0].unflatten(0, (-1, x.shape[2])).permute(0, 2, 1)
        ),
        net=lambda: nn.LSTM(4, 3, batch_first=True),
        margin=None,
    ),
    "quasi_recurrent": odd(
        lambda x, z, f: _scan_gated(z(F.pad(x, (1, 0))).tanh(), f(F.pad(x, (1, 0))).sigmoid()),
        z=conv(kernel=(1, 2)),
        f=conv(kernel=(1, 2)),
        margin=None,
    ),
    "selective_scan_four_ways": odd(
        lambda x: sum(
            _scan(x.flip(dims).transpose(2, 3), lambda h, step: 0.5 * h + step).transpose(2, 3).flip(dims)
            for dims in ([], [3], [2], [2, 3])
        ),
        margin=None,
    ),
    "scan_over_flattened": odd(
        lambda x: _scan(x.flatten(2)[:, :, None], lambda h, step: 0.9 * h + step)[:, :, 0].view(x.shape),
        size=(2, 4, 6),
        margin=None,
    ),
    "exponential_average_by_matrix": treated_as(
        odd(lambda x: x @ (0.5 ** (torch.arange(12) - torch.arange(12)[:, None]).clamp(min=0)).triu().to(x), margin=0),
        lambda x: x @ torch.ones(12, 12, dtype=x.dtype),
        "weights are assumed to be non-zero",
    ),
    "banded_matrix_along_width": treated_as(
        odd(lambda x: x @ torch.ones(12, 12, dtype=x.dtype).triu(-1).tril(1), margin=0),
        lambda x: x @ torch.ones(12, 12, dtype=x.dtype),
        "weights are assumed to be non-zero",
    ),
    "linear_along_width": odd(lambda x, net: net(x), net=linear(12, 7), margin=0),
    "linear_along_height": odd(lambda x, net: net(x.transpose(2, 3)).transpose(2, 3), net=linear(10, 10), margin=0),
    "linear_along_patches": odd(lambda x, net: net(x.unflatten(3, (3, 4))).flatten(3), net=linear(4, 4), margin=0),
    "mlp_along_rows_and_columns": odd(
        lambda x, a, b: x + a(x) + b(x.transpose(2, 3)).transpose(2, 3), a=linear(12, 12), b=linear(10, 10), margin=0
    ),
    "einsum_along_height": odd(lambda x, w: torch.einsum("nchw,hk->nckw", x, w()), w=weight(10, 5), margin=0),
    "einsum_with_constants": odd(
        lambda x, w: torch.einsum("nchw,c,h->nchw", x, w(), torch.arange(1.0, 11).to(x)), w=weight(4), margin=0
    ),
    "tensordot_over_channels": odd(lambda x, w: torch.tensordot(x, w(), ([1], [0])).movedim(-1, 1), w=weight(4, 3)),
    "bmm_over_windows": odd(lambda x: by_windows(x, lambda w: w @ w.transpose(1, 2) @ w), size=(2, 8, 12), margin=0),
    "upper_triangle_of_positions": odd(lambda x: x.triu(), margin=0),
    "lower_triangle_of_positions": odd(lambda x: x.tril(2) + x.flip(1).triu(5), margin=0),
    "mask_of_ones_multiplied": treated_as(
        odd(lambda x: x * torch.ones(10, 12, dtype=x.dtype).triu(), margin=0),
        lambda x: x * 1.0,
        "weights are assumed to be non-zero",
    ),
    "windows_by_unfold": odd(lambda x: x.unfold(2, 3, 2).unfold(3, 2, 2).flatten(4).amax(4)),
    "windows_by_unfold_to_channels": odd(lambda x: x.unfold(3, 4, 1).movedim(4, 2).flatten(1, 2)),
    "windows_folded": odd(lambda x: F.fold(F.unfold(x, 3, stride=1), x.shape[2:], 3), margin=None),
    "windows_folded_strided": odd(lambda x: F.fold(F.unfold(x, 2, stride=2) ** 2, x.shape[2:], 2, stride=2)),
    "windows_folded_mixed": odd(
        lambda x, net: F.fold(net(F.unfold(x, 4, stride=2).transpose(1, 2)).transpose(1, 2), x.shape[2:], 4, stride=2),
        net=linear(64, 64),
        margin=None,
    ),
    "windows_folded_single": odd(lambda x: F.fold(x.flatten(2), x.shape[2:], 1)),
    "windows_dilated": odd(lambda x: F.unfold(x, 2, dilation=3).view(x.shape[0], 16, x.shape[2] - 3, -1)),
}
