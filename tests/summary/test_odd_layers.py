"""The table of odd layers agrees with changing every pixel of the image, at every position."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.oracles import Spans, spans_by_changing_pixels
from tests.summary.odd_layers import LAYERS, REFUSED, OddLayer
from visionlib.errors import ModelError
from visionlib.summary import LayerSummary, summarize
from visionlib.summary.following import Output, follow
from visionlib.summary.receptive_fields import FIELD_HIGH, FIELD_LOW, SEEN_HIGH, SEEN_LOW, ReceptiveFields

_CONVOLUTIONS: tuple[Callable[..., nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_KERNELS = {1: (3,), 2: (3, 5), 3: (1, 1, 3)}
"""Of the wide half of the stem; they differ between the axes."""
_MOST_PIXELS = 600
"""Of an image whose pixels are changed one at a time; in larger ones whole lines are, for speed."""


class Stem(nn.Module):
    """Four channels: two see a single pixel, the other two a window."""

    def __init__(self, in_width: int, kernel: tuple[int, ...], *, is_padded: bool) -> None:
        super().__init__()
        convolution = _CONVOLUTIONS[len(kernel) - 1]
        self.crop = [0 if is_padded else size // 2 for size in kernel]
        self.narrow = convolution(in_width, 2, 1)
        self.wide = convolution(in_width, 2, kernel, padding=tuple(size // 2 for size in kernel) if is_padded else 0)

    def forward(self, images: Tensor) -> Tensor:
        narrow = self.narrow(images)
        for dim, width in enumerate(self.crop, start=2):
            narrow = narrow.narrow(dim, width, narrow.shape[dim] - 2 * width)
        return torch.cat([narrow, self.wide(images)], 1)


class Network(nn.Module):
    """A stem, an odd layer, and a convolution after it; a linear layer if the odd layer has no positions."""

    def __init__(self, layer: OddLayer, build: Callable[[], nn.Module], *, is_padded: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        channels, *sides = layer.size
        self.stem = Stem(channels, _KERNELS[len(sides)], is_padded=is_padded)
        self.odd = build()
        shape = self.odd(torch.rand(1, 4, *sides)).shape
        self.after: nn.Module = nn.Linear(shape[1], 3)
        if len(shape) > 2:
            self.after = _CONVOLUTIONS[len(shape) - 3](shape[1], 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.run_stages(images)[-1]

    def run_stages(self, images: Tensor) -> list[Tensor]:
        stem = self.stem(images)
        odd = self.odd(stem.clone())
        return [stem, odd, self.after(odd.clone())]


@torch.no_grad()
def compare(layer: OddLayer) -> list[str]:
    """What the table says differently from changing every pixel.

    Raises:
        ModelError: if the layer has an operation without a receptive-field rule.
    """
    network = Network(layer, layer.build).eval()
    try:
        rows = {row.name: row for row in summarize(network, layer.size).layers}
        calls = {call.name: call for call in follow(network, [layer.size]).calls}
    except ModelError as error:
        if "has no receptive-field rule" in str(error):
            raise
        return [f"said not to run: {error}"]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    seen = measure(layer, layer.size)
    fields = measure_fields(layer, seen)
    outputs = network.double().run_stages(torch.rand(1, *layer.size, dtype=torch.float64))
    found = []
    for number, stage in enumerate(("stem", "odd", "after")):
        shape = tuple(outputs[number].shape)
        differences = _compare_stage(rows[stage], calls[stage].output, shape, seen[number], fields[number])
        found += [f"{stage}: {difference}" for difference in differences]
    return found


def measure(layer: OddLayer, size: tuple[int, ...], *, is_padded: bool = True, by_lines: bool = False) -> list[Spans]:
    """Spans of the stem, the odd layer and the layer after it, by changing pixels."""
    network = Network(layer, layer.as_if or layer.build, is_padded=is_padded).double().eval()
    return spans_by_changing_pixels(network.run_stages, size, by_lines=by_lines)


def measure_fields(layer: OddLayer, seen: list[Spans]) -> list[Spans | None]:
    """Spans on an image without border, in pixels of the small image; None where the layer has none."""
    channels, *sides = layer.size
    if layer.margin is None:
        return [None, None, None]
    if layer.margin == 0:
        margins = [size // 2 for size in _KERNELS[len(sides)]]
        larger = [side + 2 * margin for side, margin in zip(sides, margins, strict=True)]
        _, odd, _ = measure(layer, (channels, *larger), is_padded=False)
        return [None, _moved(odd, margins, sides), None]
    margin = layer.margin
    while (fields := _measure_within(layer, margin, seen)) is None:
        margin += layer.margin
    return list(fields)


def _measure_within(layer: OddLayer, margin: int, seen: list[Spans]) -> list[Spans] | None:
    """Spans of the same positions on an image that is larger on every side; None if one of them reaches the border."""
    channels, *sides = layer.size
    larger = [side + 2 * margin for side in sides]
    assert max(larger) < 80, "a field without bounds"
    fields = []
    measured = measure(layer, (channels, *larger), by_lines=math.prod(larger) > _MOST_PIXELS)
    for spans, small in zip(measured, seen, strict=True):
        low, high = spans.low, spans.high
        for dim in range(1, low.ndim):
            extra = low.shape[dim] - small.low.shape[dim]
            assert extra % 2 == 0, "the margin is no multiple of the jump"
            low = low.narrow(dim, extra // 2, small.low.shape[dim])
            high = high.narrow(dim, extra // 2, small.low.shape[dim])
        if any(int(low[axis].min()) == 0 or int(high[axis].max()) == side - 1 for axis, side in enumerate(larger)):
            return None
        fields.append(_moved(Spans(low, high), [margin] * len(sides), sides))
    return fields


def _moved(spans: Spans, margins: list[int], sides: list[int]) -> Spans:
    shape = (-1, *[1] * (spans.low.ndim - 1))
    margin, side = torch.tensor(margins).view(shape), torch.tensor(sides).view(shape)
    is_empty = spans.sizes == 0
    return Spans(torch.where(is_empty, side, spans.low - margin), torch.where(is_empty, -1, spans.high - margin))


def _compare_stage(
    row: LayerSummary, output: Output, shape: tuple[int, ...], seen: Spans, field: Spans | None
) -> list[str]:
    if row.output_shape != shape:
        return [f"output_shape {row.output_shape}, right {shape}"]
    if output.fields is None or row.receptive_field is None:
        return [f"does not depend on the image, right {_largest(seen)}"] if int(seen.sizes.max()) else []
    for bound in output.fields.bounds:
        if any(own not in (1, side) for own, side in zip(bound.shape[1:], shape, strict=True)):
            return [f"fields of shape {tuple(bound.shape[1:])}, right {shape}"]
    found = _compare_row(row, seen, field)
    found += _compare_positions("seen", _told(output.fields, shape, SEEN_LOW, SEEN_HIGH), seen)
    if field is not None:
        told = _told(output.fields, shape, FIELD_LOW, FIELD_HIGH)
        found += _compare_positions("field", told, field, is_lower_bound=row.is_clipped)
    return found


def _told(fields: ReceptiveFields, shape: tuple[int, ...], low: int, high: int) -> Spans:
    """The spans from which the table is computed, over the channels."""
    bounds = [bound.expand(-1, *shape).amax((1, 2)) for bound in fields.bounds]
    if len(shape) == 2:
        bounds = [bound[:, None] for bound in bounds]
    is_empty = torch.stack([bound[low].isneginf() | bound[high].isneginf() for bound in bounds]).any(0)
    lows = [(-bound[low]).masked_fill(is_empty, side) for bound, side in zip(bounds, fields.image, strict=True)]
    highs = [bound[high].masked_fill(is_empty, -1) for bound in bounds]
    return Spans(torch.stack(lows).long(), torch.stack(highs).long())


def _compare_row(row: LayerSummary, seen: Spans, field: Spans | None) -> list[str]:
    right: dict[str, tuple[int, ...]] = {"seen": _largest(seen), "smallest_seen": _smallest(seen)}
    if field is not None and not row.is_clipped:
        right["receptive_field"] = _largest(field)
        right["smallest_receptive_field"] = tuple(int(size[size > 0].min()) for size in field.sizes)
        if int(field.sizes.flatten(1)[:, 0].min()) > 0:
            right["start"] = tuple(int(low.flatten()[0]) for low in field.low)
    return [
        f"{name} {getattr(row, name)}, right {value}" for name, value in right.items() if getattr(row, name) != value
    ]


def _compare_positions(what: str, ours: Spans, right: Spans, *, is_lower_bound: bool = False) -> list[str]:
    differs = (ours.low != right.low) | (ours.high != right.high)
    if is_lower_bound:
        differs = (ours.sizes > 0) & ((ours.low < right.low) | (ours.high > right.high))
    if not bool(differs.any()):
        return []
    positions = differs.any(0).nonzero().tolist()
    told, truth = (_format(spans, positions[0]) for spans in (ours, right))
    return [f"{what} at {positions[0]} and {len(positions) - 1} other positions {told}, right {truth}"]


def _format(spans: Spans, position: list[int]) -> str:
    lows, highs = (part.movedim(0, -1)[tuple(position)].tolist() for part in (spans.low, spans.high))
    return " x ".join(f"{low}..{high}" for low, high in zip(lows, highs, strict=True))


def _largest(spans: Spans) -> tuple[int, ...]:
    return tuple(int(size.max()) for size in spans.sizes)


def _smallest(spans: Spans) -> tuple[int, ...]:
    return tuple(int(size.min()) for size in spans.sizes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # PyTorch's, about some of the layers
def test_odd_layers_agree_with_changing_every_pixel(capsys: pytest.CaptureFixture[str]) -> None:
    refused, wrong = set(), {}
    for name, layer in LAYERS.items():
        try:
            if found := compare(layer):
                wrong[name] = found
        except ModelError:
            refused.add(name)
    count = len(LAYERS)
    right = count - len(refused) - len(wrong)
    with capsys.disabled():
        print(f"\n{count} odd layers: {right} right, {len(refused)} refused, {len(wrong)} wrong")  # noqa: T201
    assert not wrong, "\n".join(f"{name}: {'; '.join(found)}" for name, found in wrong.items())
    assert refused == REFUSED


def test_the_number_of_odd_layers() -> None:
    assert len(LAYERS) >= 300
    assert {name for name, layer in LAYERS.items() if (layer.as_if is None) != (not layer.convention)} == set()


CONV = OddLayer(lambda: nn.Conv2d(4, 4, 3, padding=1), size=(2, 6, 7))


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (lambda: nn.Conv2d(4, 4, (3, 5), padding=(1, 2)), "odd: receptive_field (5, 7), right (5, 9)"),
        (lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4), None),
        (lambda: nn.Conv2d(4, 4, 3, padding=(2, 1), dilation=(2, 1)), "odd: smallest_seen (3, 4), right (4, 4)"),
        (lambda: nn.Conv2d(4, 4, 1), "odd: seen at [0, 0] and 41 other positions 0..2 x 0..3, right 0..1 x 0..2"),
        (
            lambda: nn.Sequential(nn.ZeroPad2d((1, -1, 0, 0)), nn.Conv2d(4, 4, 3, padding=1)),
            "odd: start (-2, -3), right (-2, -4)",
        ),
        (
            lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
            "odd: seen at [0, 0] and 21 other positions 0..2 x 0..3, right 0..5 x 0..6",
        ),
    ],
    ids=["larger", "grouped", "dilated", "smaller", "moved", "around_the_border"],
)
def test_the_comparison_finds_planted_errors(right: Callable[[], nn.Module], said: str | None) -> None:
    found = compare(replace(CONV, as_if=right))
    assert said in found if said else found == []
