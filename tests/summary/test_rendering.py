"""The ways in which a layer table is shown, of records made by hand."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from html import escape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from visionlib.errors import ConfigError
from visionlib.summary.formatted_table import fold_layers, format_count, format_megabytes, format_table
from visionlib.summary.record import LayerSummary, ModelSummary
from visionlib.summary.render_html import to_html
from visionlib.summary.render_markdown import to_markdown
from visionlib.summary.render_text import to_plain_text, to_text

ONE, TWO, HALF = Fraction(1), Fraction(2), Fraction(1, 2)


def layer(name: str, kind: str, depth: int, **figures: object) -> LayerSummary:
    defaults = {"output_shape": (2, 8, 16, 16), "params": 0, "macs": 0, "jump": (ONE, ONE)}
    return LayerSummary(name=name, type=kind, depth=depth, **{**defaults, **figures})  # type: ignore[arg-type]


HEAD = {"output_shape": (2, 10), "jump": None, "receptive_field": (20, 20), "is_global": True, "seen_fraction": 1.0}
STEM = {"receptive_field": (3, 3), "start": (-1, -1), "seen_fraction": 9 / 256}
DOWN = {
    "output_shape": (2, 16, 8, 16),
    "receptive_field": (5, 3),
    "jump": (TWO, ONE),
    "start": (-2, -1),
    "seen_fraction": 15 / 256,
}
UP = {
    "receptive_field": (13, 12),
    "smallest_receptive_field": (12, 12),
    "jump": (HALF, HALF),
    "start": (-6, -6),
    "seen_fraction": 0.6,
    "is_clipped": True,
}
SUMMARY = ModelSummary(
    model="tiny",
    input_size=(3, 16, 16),
    batch_size=2,
    method="exact",
    layers=(
        layer("", "Net", 0, **HEAD),
        layer("stem", "Conv2d", 1, params=216, macs=110_592, **STEM),
        layer("down", "Sequential", 1, **DOWN),
        layer("down.0", "Conv2d", 2, params=1_584, macs=811_008, **DOWN),
        layer("up", "Upsample", 1, **UP),
        layer("mask", "Mask|Layer", 1, output_shape=None, jump=None),
        layer("head", "Linear", 1, params=810, macs=1_600, **HEAD),
    ),
    total_params=2_700,
    trainable_params=2_484,
    weights_bytes=10_800,
    activations_bytes=1_250_000,
    findings=("stem (Conv2d) sees <little> | less",),
    assumptions=("aten::odd was assumed to be elementwise",),
    disagreement="in hook order it would be 7 x 5",
)
HOOK_ORDER = ModelSummary(
    model="tiny",
    input_size=(3, 32, 32),
    batch_size=1,
    method="hook-order",
    layers=(
        layer("Conv2d-1", "Conv2d", 1, output_shape=(1, 64, 32, 32), params=1728, receptive_field=(3, 3)),
        layer("BatchNorm2d-2", "BatchNorm2d", 1, output_shape=(1, 64, 32, 32), params=128, jump=None),
    ),
    total_params=1856,
    trainable_params=1856,
    weights_bytes=7424,
    activations_bytes=524_288,
)
GOLDEN = """\
tiny on 3 x 16 x 16
receptive fields: exact; in hook order it would be 7 x 5

layer                     output  params   MACs  receptive field   jump   start  sees
─────────────────────────────────────────────────────────────────────────────────────
tiny (Net)                    10       -      -           global      -       -  100%
  stem (Conv2d)      8 x 16 x 16     216   111k            3 x 3      1      -1  3.5%
  down (Sequential)  16 x 8 x 16       -      -            5 x 3  2 x 1  -2, -1  5.9%
    0 (Conv2d)       16 x 8 x 16   1,584   811k            5 x 3  2 x 1  -2, -1  5.9%
  up (Upsample)      8 x 16 x 16       -      -   >= 12..13 x 12    1/2      -6   60%
  mask (Mask|Layer)            -       -      -                -      -       -     -
  head (Linear)               10     810  1.60k           global      -       -  100%

parameters     2,700, of which 2,484 trainable, 216 frozen
without a row  90 parameters, in modules that are not called on this input
MACs           923k (923,200) for a batch of 2
memory         weights 0.011 MB, activations 1.2 MB for a batch of 2

params, MACs: of the row itself, without the rows inside it
jump: pixels from one position to the next
start: the first pixel that the first position sees, negative beyond the border
sees: fraction of this image that a position sees, the largest over all positions

findings
- stem (Conv2d) sees <little> | less

assumptions
- aten::odd was assumed to be elementwise
"""


def rows_of_text(text: str) -> list[list[str]]:
    lines = text.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("──"))
    end = lines.index("", rule)
    return [re.split(r" {2,}", line.strip()) for line in [lines[rule - 1], *lines[rule + 1 : end]]]


def rows_of_markdown(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in (lines[0], *lines[2:])]
    return [[re.sub(r"\\(.)", r"\1", cell.replace("&nbsp;", "")) for cell in row] for row in rows]


class Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag == "br" else [tag]
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"td", "th"}:
            self.rows[-1].append(data)


def rows_of_html(text: str) -> list[list[str]]:
    cells = Cells()
    cells.feed(text)
    assert cells.open == []
    return cells.rows


def on_a_terminal(summary: ModelSummary, width: int, *, depth: int | None = None, has_colours: bool = False) -> str:
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=width, force_terminal=True, legacy_windows=False, no_color=not has_colours, _environ={}
    )
    for part in to_text(summary, depth, width=width):
        console.print(part, crop=False)
    return buffer.getvalue()


@pytest.mark.parametrize(("summary", "depth"), [(SUMMARY, None), (SUMMARY, 0), (SUMMARY, 1), (HOOK_ORDER, None)])
def test_text_markdown_and_html_agree_cell_by_cell(summary: ModelSummary, depth: int | None) -> None:
    formatted = format_table(summary, depth)
    expected = [list(formatted.headers), *map(list, formatted.rows)]
    assert rows_of_text(to_plain_text(summary, depth)) == expected
    assert rows_of_markdown(to_markdown(summary, depth)) == expected
    assert rows_of_html(to_html(summary, depth)) == expected


@pytest.mark.parametrize("summary", [SUMMARY, HOOK_ORDER])
def test_every_format_has_every_sentence(summary: ModelSummary) -> None:
    formatted = format_table(summary)
    totals = [part for total in formatted.totals for part in total]
    texts = [
        formatted.title,
        formatted.convention,
        *totals,
        *formatted.legend,
        *formatted.findings,
        *formatted.assumptions,
    ]
    page = re.sub(r"\\(.)", r"\1", to_markdown(summary))
    for sentence in texts:
        assert sentence in to_plain_text(summary)
        assert sentence in page
        assert escape(sentence) in to_html(summary)


def test_the_text_is_as_it_was_and_its_columns_add_up() -> None:
    text = to_plain_text(SUMMARY)
    assert f"{text}\n" == GOLDEN
    _, *rows = rows_of_text(text)
    params = [0 if row[2] == "-" else int(row[2].replace(",", "")) for row in rows]
    without_row = int(re.search(r"without a row +([\d,]+)", text)[1])  # type: ignore[index]
    assert sum(params) + without_row == SUMMARY.total_params
    assert f"parameters     {SUMMARY.total_params:,}" in text


@pytest.mark.parametrize("depth", [0, 1, 2, None])
def test_folding_leaves_the_totals_alone(depth: int | None) -> None:
    assert format_table(SUMMARY, depth).totals == format_table(SUMMARY).totals
    _, *rows = rows_of_text(to_plain_text(SUMMARY, depth))
    assert sum(0 if row[2] == "-" else int(row[2].replace(",", "")) for row in rows) == 2_610


def test_only_the_deepest_rows_hold_sums() -> None:
    rows = {row[0]: row for row in format_table(SUMMARY, 1).rows}
    assert rows["tiny (Net)"][2:4] == ("-", "-")
    assert rows["stem (Conv2d)"][2:4] == ("216", "111k")
    assert rows["down (Sequential)"][2:5] == ("1,584", "811k", "5 x 3")
    assert "0 (Conv2d)" not in rows
    assert format_table(SUMMARY, 0).rows == (("tiny (Net)", "10", "2,610", "923k", "global", "-", "-", "100%"),)


@given(
    steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 99), st.integers(0, 99)), max_size=40),
    depth=st.integers(0, 6),
)
def test_a_folded_row_holds_what_a_slow_search_finds(steps: list[tuple[int, int, int]], depth: int) -> None:
    layers: list[LayerSummary] = [layer("", "Net", 0, params=1)]
    for wanted, params, macs in steps:
        level = min(wanted, layers[-1].depth) + 1
        layers.append(layer(f"layer{len(layers)}", "Conv2d", level, params=params, macs=macs))
    expected = []
    for position, row in enumerate(layers):
        if row.depth <= depth:
            inside = _inside(layers, position) if row.depth == depth else []
            expected.append(
                (row.name, row.params + sum(i.params for i in inside), row.macs + sum(i.macs for i in inside))
            )
    assert [(row.name, row.params, row.macs) for row in fold_layers(layers, depth)] == expected
    assert fold_layers(layers, None) == tuple(layers)


def _inside(layers: Sequence[LayerSummary], position: int) -> list[LayerSummary]:
    inside = []
    for row in layers[position + 1 :]:
        if row.depth <= layers[position].depth:
            break
        inside.append(row)
    return inside


def test_a_depth_that_cannot_be_is_an_error() -> None:
    with pytest.raises(ConfigError, match="depth: -1 is out of range; it must be at least 0"):
        to_plain_text(SUMMARY, -1)
    with pytest.raises(ConfigError, match="depth: does not go with hook order"):
        to_markdown(HOOK_ORDER, 1)


def test_hook_order_has_the_columns_of_the_published_table() -> None:
    formatted = format_table(HOOK_ORDER)
    assert formatted.headers == ("layer", "output shape", "params", "RF out", "Jump in")
    assert formatted.rows == (
        ("Conv2d-1", "-1,64,32,32", "1,728", "3", "1"),
        ("BatchNorm2d-2", "-1,64,32,32", "128", "0", "0"),
    )
    assert "receptive fields: hook order (the 2020 convention; wrong where branches join)" in to_plain_text(HOOK_ORDER)


def test_the_header_says_nothing_of_hook_order_where_it_agrees() -> None:
    assert format_table(replace(SUMMARY, disagreement=None)).convention == "receptive fields: exact"


@pytest.mark.parametrize(
    ("values", "column", "cell"),
    [
        ({"receptive_field": (109, 109), "smallest_receptive_field": (109, 109)}, "receptive field", "109 x 109"),
        ({"receptive_field": (52, 52), "smallest_receptive_field": (48, 48)}, "receptive field", "48..52 x 48..52"),
        ({"receptive_field": (52, 9), "smallest_receptive_field": (48, 9)}, "receptive field", "48..52 x 9"),
        ({"receptive_field": (9,)}, "receptive field", "9"),
        ({"receptive_field": (3, 3, 5)}, "receptive field", "3 x 3 x 5"),
        ({"receptive_field": (32, 32), "is_clipped": True}, "receptive field", ">= 32 x 32"),
        ({"receptive_field": (32, 32), "is_global": True}, "receptive field", "global"),
        ({"receptive_field": None}, "receptive field", "-"),
        ({"jump": (Fraction(8), Fraction(8))}, "jump", "8"),
        ({"jump": (TWO, ONE)}, "jump", "2 x 1"),
        ({"jump": (HALF, HALF)}, "jump", "1/2"),
        ({"jump": (Fraction(3, 2), ONE)}, "jump", "3/2 x 1"),
        ({"jump": None}, "jump", "-"),
        ({"start": (-54, -54)}, "start", "-54"),
        ({"start": (-54, 0)}, "start", "-54, 0"),
        ({"start": (-54, -54), "is_global": True}, "start", "-"),
        ({"seen_fraction": 1.0}, "sees", "100%"),
        ({"seen_fraction": 0.9999}, "sees", ">99%"),
        ({"seen_fraction": 0.994}, "sees", "99%"),
        ({"seen_fraction": 0.1}, "sees", "10%"),
        ({"seen_fraction": 0.0996}, "sees", "10%"),
        ({"seen_fraction": 0.0088}, "sees", "0.9%"),
        ({"seen_fraction": 0.0001}, "sees", "<0.1%"),
        ({"seen_fraction": 0.0}, "sees", "0%"),
        ({"seen_fraction": None}, "sees", "-"),
        ({"output_shape": (2, 64, 32, 32)}, "output", "64 x 32 x 32"),
        ({"output_shape": (49, 2, 64)}, "output", "49 x 2 x 64"),
        ({"output_shape": (2,)}, "output", "scalar"),
        ({"output_shape": ()}, "output", "scalar"),
        ({"output_shape": None}, "output", "-"),
        ({"params": 11_173_962}, "params", "11,173,962"),
        ({"params": 0}, "params", "-"),
        ({"macs": 37_748_736}, "MACs", "37.7M"),
    ],
)
def test_a_value_is_formatted_as(values: dict[str, object], column: str, cell: str) -> None:
    formatted = format_table(replace(SUMMARY, layers=(layer("a", "Conv2d", 1, **values),)))
    assert formatted.rows[0][formatted.headers.index(column)] == cell


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00k"),
        (5120, "5.12k"),
        (99_950, "100k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (555_422_720, "555M"),
        (4_089_184_256, "4.09G"),
        (12_300_000_000_000, "12.3T"),
        (1_230_000_000_000_000, "1230T"),
    ],
)
def test_a_count_in_units(count: int, expected: str) -> None:
    assert format_count(count) == expected


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [(0, "0.0 MB"), (7_424, "0.0074 MB"), (44_734_408, "44.7 MB"), (1_234_567_890, "1,234.6 MB")],
)
def test_a_size_in_megabytes(size_bytes: int, expected: str) -> None:
    assert format_megabytes(size_bytes) == expected


def test_a_layer_is_named_relative_to_the_row_around_it() -> None:
    layers = (
        layer("", "Net", 0),
        layer("blocks.0", "Block", 1),
        layer("blocks.0.conv", "Conv2d", 2),
        layer("shared", "Conv2d", 2),
        layer("blocks.01", "Block", 1),
    )
    formatted = format_table(replace(SUMMARY, model="Net", layers=layers))
    assert [row[0] for row in formatted.rows] == [
        "Net",
        "blocks.0 (Block)",
        "conv (Conv2d)",
        "shared (Conv2d)",
        "blocks.01 (Block)",
    ]
    assert formatted.indents == (0, 1, 2, 2, 1)


def test_frozen_parameters_and_those_without_a_row_are_reported() -> None:
    totals = dict(format_table(SUMMARY).totals)
    assert totals["parameters"] == "2,700, of which 2,484 trainable, 216 frozen"
    assert totals["without a row"].startswith("90 parameters")
    assert "without a row" not in dict(format_table(HOOK_ORDER).totals)


@pytest.mark.parametrize("width", [50, 77, 80, 84, 90, 140])
def test_a_terminal_cuts_names_and_never_numbers(width: int) -> None:
    formatted = format_table(SUMMARY)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(SUMMARY, width)).splitlines()
    rule = next(number for number, line in enumerate(shown) if line.startswith("──"))
    for line, indent, (name, *values) in zip(shown[rule + 1 :], formatted.indents, formatted.rows, strict=False):
        words = " ".join(values).split()
        assert line.split()[-len(words) :] == words
        assert line.startswith("  " * indent + name[:6])
    if width >= 77:
        assert max(map(len, shown)) <= width
        assert not any("…" in line for line in shown[: rule + 8])


def test_names_are_cut_where_the_table_does_not_fit() -> None:
    deep = replace(SUMMARY, layers=(layer("", "Net", 0), layer("a_name_of_a_layer_that_is_long", "Conv2d", 1, **STEM)))
    shown = on_a_terminal(deep, 64)
    assert "  a_name_of_a_l… 8 x 16 x 16" in re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "a_name_of_a_layer_that_is_long (Conv2d)" in to_plain_text(deep)


def test_no_size_is_broken_over_two_lines() -> None:
    sentence = f"{'one ' * 27}is 473 x 473 and not 1 x 2 x 3"
    for width in range(20, 140, 3):
        shown = on_a_terminal(replace(SUMMARY, disagreement=sentence, findings=(sentence,)), width)
        assert shown.count("473 x 473") == shown.count("1 x 2 x 3") == 2


def test_colours_are_for_terminals_that_want_them() -> None:
    assert "\x1b[" in on_a_terminal(SUMMARY, 120, has_colours=True)
    assert not re.search(r"\x1b\[[0-9;]*3\dm", on_a_terminal(SUMMARY, 120))
    assert "\x1b" not in to_plain_text(SUMMARY)


def test_rich_takes_no_name_for_markup() -> None:
    summary = replace(SUMMARY, model="[bold]x[/bold]", findings=("[red]y[/red] :smile:",))
    assert "[bold]x[/bold] on" in to_plain_text(summary)
    assert "- [red]y[/red] :smile:" in to_plain_text(summary)


def test_names_are_escaped_in_markdown_and_html() -> None:
    summary = replace(SUMMARY, model="<script>alert(1)</script>*|_`")
    assert "<script>" not in to_html(summary)
    assert "&lt;script&gt;" in to_html(summary)
    page = to_markdown(summary)
    assert r"\<script\>alert(1)\</script\>\*\|\_\` on" in page
    assert r"mask (Mask\|Layer)" in page


def test_html_needs_nothing_beside_it_and_takes_the_colours_of_the_page() -> None:
    page = to_html(SUMMARY)
    assert page.startswith("<div")
    assert page.endswith("</div>")
    assert not re.search(r"<script|<style|<link|src=|href=|class=|background|#[0-9a-f]{3}", page)


def test_a_summary_shows_itself() -> None:
    assert str(SUMMARY) == to_plain_text(SUMMARY)
    assert SUMMARY._repr_html_() == to_html(SUMMARY)


def test_a_table_is_read_back_from_its_record() -> None:
    assert ModelSummary.from_dict(json.loads(json.dumps(SUMMARY.to_dict()))) == SUMMARY
