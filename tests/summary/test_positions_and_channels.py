"""Positions are told from channels, wherever elements are moved to; fixed grids, antialiasing and constants are exact.

Each case is a kind of layer that users reported. `test_odd_layers` compares many more with the changes of every pixel.
"""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from visionlib.errors import ModelError
from visionlib.summary import summarize
from visionlib.summary.following import follow
from visionlib.summary.receptive_fields import SEEN_HIGH, SEEN_LOW
from visionlib.summary.verify import verify


class Wired(nn.Module):
    """A function of the input and some layers."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs, *self.layers)


PERMUTATION = torch.tensor([0, 2, 1, 3])


def written(y: Tensor) -> Tensor:
    z = y.new_zeros(y.shape)
    z[:, :2] = y[:, :2]
    z[:, 2:] = y[:, 2:]
    return z


def written_by_channel(y: Tensor) -> Tensor:
    z = torch.empty(y.shape)
    for channel in range(4):
        z[:, channel] = y[:, channel]
    return z


def scattered(y: Tensor) -> Tensor:
    return torch.zeros(y.shape).index_put((torch.tensor([0]), PERMUTATION), y[0, PERMUTATION])


CHANNEL_MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "concatenation alone": lambda y: y,
    "index_select": lambda y: y.index_select(1, PERMUTATION),
    "index": lambda y: y[:, PERMUTATION],
    "index in two dimensions": lambda y: y[:, PERMUTATION.view(2, 2)].flatten(1, 2),
    "mask": lambda y: y[:, torch.tensor([True, False, True, True])],
    "gather": lambda y: y.gather(1, PERMUTATION.view(1, 4, 1, 1).expand(y.shape)),
    "F.unfold": lambda y: F.unfold(y, 1).view(y.shape),
    "unfold of channels": lambda y: y.unfold(1, 2, 2).movedim(4, 2).flatten(1, 2),
    "flattened and back": lambda y: y.flatten(1).view(y.shape),
    "flattened pixels and back": lambda y: y.flatten(2).mT.mT.view(y.shape),
    "written into zeros": written,
    "written by channel": written_by_channel,
    "index_put": scattered,
    "slice_scatter": lambda y: torch.zeros(y.shape).slice_scatter(y[:, 1:], 1, 1, 4),
    "index_copy": lambda y: torch.zeros(y.shape).index_copy(1, PERMUTATION, y),
    "index_add": lambda y: torch.zeros(y.shape).index_add(1, PERMUTATION, y),
    "scatter_add": lambda y: torch.zeros(y.shape).scatter_add(1, PERMUTATION.view(1, 4, 1, 1).expand(y.shape), y),
    "lower triangle of channels": lambda y: y.movedim(1, -1).reshape(1, 12, 12, 2, 2).tril().flatten(3).movedim(-1, 1),
}


@pytest.mark.parametrize("name", CHANNEL_MOVES)
def test_channels_with_different_fields_stay_channels(name: str) -> None:
    """Every position sees 5 x 5 from -2 on, all its channels together."""
    move = CHANNEL_MOVES[name]
    branches = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 5, padding=2)
    model = Wired(lambda x, narrow, wide: move(torch.cat([narrow(x), wide(x)], 1)), *branches)
    row = summarize(model, (2, 12, 12)).layers[0]
    assert (row.receptive_field, row.smallest_receptive_field, row.start) == ((5, 5), (5, 5), (-2, -2))
    assert (row.seen, row.smallest_seen) == ((5, 5), (3, 3))


def steps(x: Tensor, cell: nn.Module) -> list[Tensor]:
    hidden, states = torch.zeros(len(x), 5), []
    for column in range(x.shape[3]):
        hidden = cell(x[..., column].flatten(1), hidden)
        states.append(hidden)
    return states


def written_steps(x: Tensor, cell: nn.Module) -> Tensor:
    out = torch.zeros(len(x), 5, x.shape[3])
    for column, state in enumerate(steps(x, cell)):
        out[..., column] = state
    return out


def columns(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2).flatten(2)


RECURRENT: dict[str, nn.Module] = {
    "stack of steps": Wired(lambda x, cell: torch.stack(steps(x, cell), -1), nn.GRUCell(6, 5)),
    "cat of steps": Wired(lambda x, cell: torch.cat([s.unsqueeze(1) for s in steps(x, cell)], 1), nn.RNNCell(6, 5)),
    "written steps": Wired(written_steps, nn.GRUCell(6, 5)),
    "LSTM": Wired(lambda x, net: net(columns(x))[0], nn.LSTM(6, 5, batch_first=True)),
    "GRU": Wired(lambda x, net: net(columns(x))[0], nn.GRU(6, 5, batch_first=True)),
    "RNN, steps first": Wired(lambda x, net: net(columns(x).transpose(0, 1))[0], nn.RNN(6, 5)),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_the_first_step_of_a_recurrent_layer_sees_one_column(name: str) -> None:
    row = summarize(RECURRENT[name], (2, 3, 7)).layers[0]
    assert (row.receptive_field, row.smallest_receptive_field) == ((3, 7), (3, 1))
    assert (row.seen, row.smallest_seen) == ((3, 7), (3, 1))


def test_both_directions_see_everything() -> None:
    model = Wired(lambda x, net: net(columns(x))[0], nn.GRU(6, 5, batch_first=True, bidirectional=True))
    row = summarize(model, (2, 3, 7)).layers[0]
    assert row.output_shape == (1, 7, 10)
    assert row.smallest_receptive_field == (3, 7)


@pytest.mark.parametrize(("size", "out", "side"), [(13, 5, 5), (15, 9, 3), (16, 7, 5), (12, 5, 5), (27, 9, 5)])
def test_antialiased_resizing_reads_no_weight_of_zero(size: int, out: int, side: int) -> None:
    """The widest row of weights, by the derivative of the operation itself."""

    def resize(x: Tensor) -> Tensor:
        return F.interpolate(x, size=(out, out), mode="bilinear", antialias=True)

    unit = torch.eye(size, dtype=torch.float64)[:, None, None].expand(-1, 1, size, -1)
    taps = (resize(unit)[:, 0, 0].abs() > 1e-12).sum(0)
    assert int(taps.max()) == side
    row = summarize(Wired(resize), (1, size, size)).layers[0]
    assert row.receptive_field == row.seen == (side, side)
    assert row.smallest_seen == (int(taps.min()),) * 2


def sampler(scale: float, mode: str = "bilinear", padding: str = "zeros") -> nn.Module:
    def sample(x: Tensor, conv: nn.Module) -> Tensor:
        theta = torch.tensor([[scale, 0.0, 0.0], [0.0, scale, 0.0]], dtype=x.dtype).expand(len(x), -1, -1)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        out: Tensor = conv(F.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=False))
        return out

    return Wired(sample, nn.Conv2d(2, 3, 3, padding=1))


@pytest.mark.parametrize("size", [12, 16, 33])
def test_a_fixed_grid_reads_the_pixels_around_its_points(size: int) -> None:
    row = summarize(sampler(0.9), (2, size, size)).layers[0]
    assert row.receptive_field == row.seen == (4, 4)
    assert not row.is_global
    assert row.jump == (Fraction(9, 10), Fraction(9, 10))


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("turned", [False, True])
def test_sampled_fields_are_those_of_the_derivative(mode: str, padding: str, turned: bool) -> None:
    """At every position, also where the points leave the image."""

    def sample(x: Tensor) -> Tensor:
        rows = [[0.9, 0.5, 0.2], [-0.5, 0.9, 0.0]] if turned else [[1.2, 0.0, 0.1], [0.0, 0.7, 0.0]]
        theta = torch.tensor(rows, dtype=torch.float64)[None]
        grid = F.affine_grid(theta, [1, 1, 6, 5], align_corners=False).to(x.dtype)
        return F.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=False)

    image = torch.rand(1, 1, 8, 9, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(sample, image)  # type: ignore[no-untyped-call]
    reads = jacobian[0, 0, :, :, 0, 0].abs() > 1e-9
    fields = follow(Wired(sample), [(1, 8, 9)]).calls[0].output.fields
    low, high = ([bound[row].expand(1, 1, 6, 5)[0, 0] for bound in fields.bounds] for row in (SEEN_LOW, SEEN_HIGH))
    for at in [(i, j) for i in range(6) for j in range(5)]:
        lines = [reads[at].any(1 - axis).nonzero().flatten().tolist() for axis in (0, 1)]
        if not lines[0]:
            assert any(float(bound[at]) == -torch.inf for bound in high)
            continue
        assert [(int(-a[at]), int(b[at])) for a, b in zip(low, high, strict=True)] == [(s[0], s[-1]) for s in lines]


def test_a_grid_from_the_image_may_sample_anywhere() -> None:
    def sample(x: Tensor, conv: nn.Module) -> Tensor:
        return F.grid_sample(x, conv(x).movedim(1, -1).tanh(), align_corners=False)

    row = summarize(Wired(sample, nn.Conv2d(2, 2, 3, padding=1)), (2, 8, 8)).layers[0]
    assert row.is_global


def position_bias(x: Tensor, conv: nn.Module, mlp: nn.Module) -> Tensor:
    grid = torch.linspace(-1, 1, 256)[:, None].expand(-1, 2)
    out: Tensor = conv(x) + mlp(grid).T.view(1, 4, 16, 16)
    return out


class Queries(nn.Module):
    """Learned queries, as in DETR."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.queries = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(5, 16))
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 32, batch_first=True), 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        queries = self.queries.expand(len(x), -1, -1)
        out: Tensor = self.head(self.decoder(queries, self.patches(x).flatten(2).transpose(1, 2)).mean(1))
        return out


class Hypernetwork(nn.Module):
    """A layer makes the weights of another."""

    def __init__(self) -> None:
        super().__init__()
        self.code, self.make = nn.Parameter(torch.randn(8)), nn.Linear(8, 4 * 3 * 9)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.make(self.code).view(4, 3, 3, 3))


def recurrence(x: Tensor, cell: nn.Module) -> Tensor:
    hidden = torch.zeros(len(x), 8)
    for column in range(x.shape[3]):
        hidden = cell(x[..., column].flatten(1), hidden)
    return hidden


CONSTANT_PRODUCTS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "position bias": (
        lambda: Wired(
            position_bias,
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 4)),
        ),
        125_952,
    ),
    "queries": (Queries, 36_800),
    "hypernetwork": (Hypernetwork, 22_032),
    "first step": (lambda: Wired(recurrence, nn.GRUCell(48, 8)), 21_504),
}


@pytest.mark.parametrize("name", CONSTANT_PRODUCTS)
def test_products_without_the_image_are_counted(name: str) -> None:
    """As PyTorch counts them, in training mode, where attention takes the way whose products it knows."""
    build, macs = CONSTANT_PRODUCTS[name]
    model = build()
    with FlopCounterMode(display=False) as counter:
        model.train()(torch.zeros(1, 3, 16, 16, requires_grad=True))
    assert counter.get_total_flops() // 2 == macs
    assert summarize(model, (3, 16, 16)).macs == macs


def test_views_in_place_change_the_shape() -> None:
    model = Wired(lambda x, conv: conv(x).transpose_(2, 3).unsqueeze_(1).squeeze_(1), nn.Conv2d(2, 4, 3))
    row = summarize(model, (2, 8, 14)).layers[0]
    assert row.output_shape == (1, 4, 12, 6)
    assert row.receptive_field == (3, 3)
    assert verify(model, (2, 8, 14)).mismatch is None


def test_a_rotation_is_no_elementwise_operation() -> None:
    row = summarize(Wired(lambda x, conv: conv(x).rot90(2, (2, 3)), nn.Conv2d(2, 4, 3)), (2, 8, 8)).layers[0]
    assert (row.receptive_field, row.start) == ((3, 3), (5, 5))


def test_masks_of_fused_attention_hide_keys() -> None:
    """Queries of the first block see their block; a causal layer sees what comes before."""
    blocks = torch.eye(3).repeat_interleave(4, 0).repeat_interleave(4, 1) == 0

    def attend(x: Tensor, net: nn.Module) -> Tensor:
        tokens = x[0].permute(1, 2, 0)
        out: Tensor = net(tokens, tokens, tokens, attn_mask=blocks, need_weights=False)[0]
        return out

    row = summarize(Wired(attend, nn.MultiheadAttention(4, 2, batch_first=True)), (4, 10, 12)).layers[0]
    assert (row.seen, row.smallest_seen) == ((1, 4), (1, 4))

    def attend_before(x: Tensor) -> Tensor:
        tokens = x[0].permute(1, 2, 0)[:, None]
        return F.scaled_dot_product_attention(tokens, tokens, tokens, is_causal=True)

    row = summarize(Wired(attend_before), (4, 10, 12)).layers[0]
    assert (row.seen, row.smallest_seen) == ((1, 12), (1, 1))


def test_an_index_from_the_image_into_a_table_is_local() -> None:
    table = torch.randn(4, 3)
    row = summarize(Wired(lambda x, conv: table[conv(x).argmax(1)], nn.Conv2d(2, 4, 3)), (2, 8, 8)).layers[0]
    assert row.output_shape == (1, 6, 6, 3)
    assert (row.receptive_field, row.is_global) == ((3, 3), False)


def test_an_operation_of_pytorch_without_a_rule_is_refused() -> None:
    with pytest.raises(ModelError, match=r"aten::linalg_matrix_exp .* has no receptive-field rule"):
        summarize(Wired(torch.linalg.matrix_exp), (2, 8, 8))
