"""The pieces that a page is made of, each against figures worked out by hand."""

import base64
import io
import itertools
import math
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from markupsafe import Markup
from PIL import Image

from tests.report.runs import make_run
from visionlib.data import Dataset, ImageSplit
from visionlib.drawing import palette
from visionlib.evaluation import ConfusionMatrix
from visionlib.explanation.quality import Estimate, MapQuality, MethodQuality
from visionlib.explanation.stored_explanations import StoredExplanations, StoredMap
from visionlib.inference.predictions import SplitPredictions, save_predictions
from visionlib.models.model_record import load_record
from visionlib.report.charts.axes import Axes, integer_ticks, round_ticks
from visionlib.report.charts.class_bar import draw_class_bar
from visionlib.report.charts.field_chart import draw_fields
from visionlib.report.charts.history_chart import draw_accuracy, draw_loss
from visionlib.report.charts.svg import element, line, text
from visionlib.report.choice import LEAST_SAMPLE, choose_explained, choose_images
from visionlib.report.contents import Missing
from visionlib.report.map_data import pack_maps
from visionlib.report.matrix import MOST_CLASSES, build_matrix
from visionlib.report.packing import PackedArray, pack, pack_fractions
from visionlib.report.page import _join_styles
from visionlib.report.sprites import QUALITIES, THUMBNAIL_PX, make_sheet, make_thumbnails, shrink_images
from visionlib.runs.training_records import EpochRecord
from visionlib.summary import LayerSummary, ModelSummary


def unpack(packed: PackedArray) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["base64"]), dtype=packed["type"])


def test_packing_keeps_values_and_refuses_what_does_not_fit() -> None:
    assert unpack(pack(np.array([[1, 2], [3, 65535]]), "u2")).tolist() == [1, 2, 3, 65535]
    assert unpack(pack(np.array([-1, 2**31 - 1]), "i4")).tolist() == [-1, 2**31 - 1]
    assert unpack(pack(np.array([0.25]), "f4")).tolist() == [0.25]
    assert unpack(pack_fractions(np.array([0.0, 0.5, 1.0]))).tolist() == [0, 32768, 65535]
    for values, kind in (([65536], "u2"), ([-1], "u1"), ([256], "u1")):
        with pytest.raises(ValueError, match="do not fit"):
            pack(np.array(values), kind)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_holds_each_image_at_its_tile(channels: int) -> None:
    images = torch.zeros(7, channels, 16, 16, dtype=torch.uint8)
    for number in range(7):
        images[number] = 30 * number + 20
    sheet = make_sheet(images, 100_000)
    assert (sheet.columns, sheet.n, sheet.tile_px, sheet.quality) == (3, 7, (16, 16), QUALITIES[0])
    pixels = np.asarray(Image.open(io.BytesIO(sheet.content)))
    assert pixels.shape == (48, 48, 3)
    for number in range(7):
        row, column = divmod(number, 3)
        tile = pixels[16 * row + 4 : 16 * row + 12, 16 * column + 4 : 16 * column + 12]
        assert np.abs(tile.astype(int) - (30 * number + 20)).max() < 6
    assert sheet.data_uri.startswith("data:image/webp;base64,")


def test_a_sheet_shrinks_large_images_and_stays_within_its_bytes() -> None:
    noise = torch.randint(256, (64, 3, 96, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shrunk = shrink_images(noise, torch.arange(64), 48)
    free = make_sheet(shrunk, 10_000_000)
    assert free.tile_px == (48, 30)
    assert free.quality == QUALITIES[0]
    tight = make_sheet(shrunk, int(0.6 * len(free.content)))
    assert len(tight.content) <= 0.6 * len(free.content)
    assert tight.quality < free.quality


def test_no_images_make_no_sheet() -> None:
    assert make_sheet(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), 1).data_uri == ""


def test_images_are_selected_and_shrunk_in_parts_as_at_once() -> None:
    images = torch.randint(256, (1203, 1, 20, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    positions = torch.arange(1202, -1, -2)
    assert torch.equal(shrink_images(images, positions, 20), images[positions])
    at_once = torch.nn.functional.interpolate(images[positions].float(), (8, 4), mode="bilinear", antialias=True)
    assert torch.equal(shrink_images(images, positions, 8), at_once.round().to(torch.uint8))
    assert shrink_images(images, positions[:0], 8).shape == (0, 1, 8, 4)


def test_thumbnails_are_as_large_as_fits() -> None:
    noise = torch.randint(256, (400, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    large = make_thumbnails(noise, torch.arange(400), 10_000_000)
    assert (large.n, large.tile_px) == (400, (THUMBNAIL_PX[0], THUMBNAIL_PX[0]))
    small = make_thumbnails(noise, torch.arange(400), len(large.content) // 4)
    assert small.tile_px[0] < THUMBNAIL_PX[0]
    assert len(small.content) <= len(large.content) // 4


def choose(n: int, wrong: list[int], **options: Any) -> Any:
    losses = torch.zeros(n, dtype=torch.float64)
    is_correct = torch.ones(n, dtype=torch.bool)
    for rank, position in enumerate(wrong):
        losses[position] = 1000.0 - rank
        is_correct[position] = False
    none = torch.zeros(0, dtype=torch.int64)
    others = [options.pop(name, none) for name in ("explained", "referenced", "mapped")]
    return choose_images(losses, is_correct, torch.arange(n), *others, is_full=options.pop("is_full", False), **options)


def test_mistakes_come_first_then_a_sample() -> None:
    chosen = choose(1000, [5, 3, 900], most_pictures=50, explained=torch.tensor([7]), referenced=torch.tensor([9]))
    assert set(chosen.pictured.tolist()) >= {3, 5, 7, 9, 900}
    assert 50 <= len(chosen.pictured) <= 52
    assert chosen.listed.tolist() == list(range(1000))
    assert set(chosen.neighboured.tolist()) == {3, 5, 7, 900}
    assert chosen.words == "pictures of all 3 mistakes and of a sample of 47 of the 997 correct images"
    assert choose(1000, [5, 3, 900], most_pictures=50).pictured.tolist() == sorted(
        choose(1000, [5, 3, 900], most_pictures=50).pictured.tolist()
    )


def test_the_worst_mistakes_are_kept_where_there_are_too_many() -> None:
    wrong = list(range(0, 1000, 2))
    chosen = choose(1000, wrong, most_pictures=2 * LEAST_SAMPLE)
    assert [position for position in chosen.pictured.tolist() if position % 2 == 0] == wrong[:300]
    assert chosen.words.startswith("pictures of the worst 300 of 500 mistakes and of a sample of 100 of the 500")


def test_a_full_page_has_all() -> None:
    chosen = choose(300, [1], is_full=True)
    assert chosen.pictured.tolist() == list(range(300))
    assert chosen.words == "pictures of all 300 test images"


def choose_maps(tmp_path: Path, labels: list[int], predicted: list[int], losses: list[float], n: int) -> list[int]:
    """Choose images of a run with these predictions and losses; return their positions."""
    classes = ("a", "b", "c")
    split = ImageSplit(
        torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8), torch.tensor(labels), classes, torch.arange(len(labels))
    )
    # With p for the label, the rest for the prediction, the loss of a mistake is -log p.
    rows = []
    for label, prediction, loss in zip(labels, predicted, losses, strict=True):
        rest = [0.0, 0.0, 0.0]
        rest[prediction] = 1 - math.exp(-loss) if prediction != label else 0.0
        rest[label] += math.exp(-loss)
        rows.append([math.log(max(value, 1e-9)) for value in rest])
    run = make_run(tmp_path / "run", Dataset("d", {"train": split, "test": split}, classes), is_whole=False)
    logits = torch.tensor(rows)
    save_predictions(run, SplitPredictions(logits, logits, logits.half()), split, load_record(run).weights_sha256)
    return [split.index.tolist().index(index) for index in choose_explained(run, n)]


def test_the_first_images_of_the_views_have_maps(tmp_path: Path) -> None:
    # 0 to 9: ten of class a taken for b; 10: one of c taken for a, with the largest loss; 11 to 40: right.
    labels = [0] * 10 + [2] + [0] * 10 + [1] * 10 + [2] * 10
    predicted = [1] * 10 + [0] + [0] * 10 + [1] * 10 + [2] * 10
    losses = (
        [1.0 + place / 10 for place in range(10)] + [5.0] + [0.01] * 9 + [0.2] + [0.01] * 9 + [0.2] + [0.2] + [0.01] * 9
    )
    chosen = choose_maps(tmp_path, labels, predicted, losses, 10)
    # The six worst, 10 and 5 to 9; of the class with most mistakes also 4; of each class the least sure of the right.
    assert chosen == [4, 5, 6, 7, 8, 9, 10, 20, 30, 31]


def test_maps_are_chosen_of_all_images_where_there_are_few(tmp_path: Path) -> None:
    assert choose_maps(tmp_path, [0, 1, 2], [0, 0, 2], [0.1, 2.0, 0.1], 10) == [0, 1, 2]


def test_maps_come_in_the_order_of_their_rank_and_failed_ones_last() -> None:
    def measure(method: str, layers: tuple[str, ...], correlation: float, hits: float) -> MethodQuality:
        sanity, pointing = Estimate(correlation, None, 9), Estimate(hits, None, 9)
        return MethodQuality(method, layers, (2, 2), sanity, {}, pointing, None, None, None, None, {}, 0.0)

    kinds = [("a", ("x",)), ("b", ("x",)), ("c", ("x",)), ("c", ("y",)), ("d", ())]
    stored = tuple(StoredMap(f"{method}{layers}", method, layers, (2, 2), "true") for method, layers in kinds)
    values = {entry.key: torch.full((1, 2, 2), place, dtype=torch.uint8) for place, entry in enumerate(stored)}
    zeros = torch.zeros(1, dtype=torch.int64)
    explanations = StoredExplanations(stored, zeros, zeros, zeros, values, {}, {}, "data", "", 0, "")
    # a fails; d is better than b; c was measured at y alone.
    measured = [measure("d", (), 0.1, 0.9), measure("b", ("x",), 0.1, 0.7), measure("c", ("y",), 0.1, 0.2)]
    quality = MapQuality((*measured, measure("a", ("x",), 0.95, 1.0)), None, 9, 0, "mean")
    packed = pack_maps(explanations, quality, np.array([4]))
    assert packed is not None
    order = [(entry["method"], entry["layers"], entry["rank"], entry["is_passed"]) for entry in packed["entries"]]
    assert order == [
        *[("d", [], 1, True), ("b", ["x"], 2, True), ("c", ["y"], 3, True), ("c", ["x"], None, None)],
        ("a", ["x"], 4, False),
    ]
    assert [unpack(entry["values"])[0] for entry in packed["entries"]] == [4, 1, 3, 2, 0]
    unmeasured = pack_maps(explanations, Missing("", ""), np.array([4]))
    assert unmeasured is not None
    assert [entry["method"] for entry in unmeasured["entries"]] == ["a", "b", "c", "c", "d"]


def test_colours_of_the_page_are_those_of_the_pictures() -> None:
    static = files("visionlib.report") / "static"
    written = "".join(file.read_text(encoding="utf-8") for file in static.iterdir()).lower()
    ours = {name: value for name, value in vars(palette).items() if isinstance(value, str) and value.startswith("#")}
    assert len(ours) == 5
    style = _join_styles()
    for name, colour in ours.items():
        variable = f"--{name.lower().replace('_', '-')}"
        assert f"{variable}: {colour};" in style
        assert f"{variable}: {palette.ON_DARK[colour]};" in style.partition("dark")[2]
        assert colour.lower() not in written  # the palette is the one source
    assert not [colour for colour in palette.CATEGORIES if colour.lower() in written]


def lightness_and_hue(colour: str) -> np.ndarray:
    """Convert to CIELAB; D65."""
    values = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(matrix) @ linear / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_ten_classes_have_ten_distinct_colours_and_none_is_the_green_of_the_true_class() -> None:
    colours = [lightness_and_hue(colour) for colour in (*palette.CATEGORIES, palette.TRUE_CLASS)]
    assert len(colours) == 11
    distances = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(colours, 2)]
    assert min(distances) > 15  # 2.3 is just noticeable


def confusion_of(counts: list[list[int]]) -> ConfusionMatrix:
    return ConfusionMatrix(torch.tensor(counts), tuple(f"c{n}" for n in range(len(counts))))


def test_shades_show_the_fraction_of_the_row() -> None:
    rows = build_matrix(confusion_of([[90, 10, 0], [40, 50, 10], [0, 0, 0]]))
    assert rows is not None
    assert [[cell.shade for cell in cells] for _, _, cells in rows] == [[-1, 2, 0], [8, -1, 2], [0, 0, -1]]
    assert rows[0][2][1].fraction == 0.1
    assert rows[2][2][0].fraction is None
    assert build_matrix(confusion_of([[1] * (MOST_CLASSES + 1)] * (MOST_CLASSES + 1))) is None


def test_ticks_are_round() -> None:
    assert round_ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert round_ticks(0.13, 0.31) == [0.15, 0.2, 0.25, 0.3]
    assert integer_ticks(1, 3) == [1, 2, 3]
    assert integer_ticks(1, 28) == [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]


def test_axes_locate_values() -> None:
    axes = Axes(10, 20, 100, 50, (0, 4), (0.0, 1.0))
    assert axes.locate(0, 0) == (10, 70)
    assert axes.locate(4, 1) == (110, 20)
    assert axes.locate(2, 0.5) == (60, 45)
    assert axes.locate(9, -3) == (110, 70)


def test_svg_escapes_whatever_it_is_given() -> None:
    assert element("line", class_='"><script>', x1=1.23456) == Markup(
        '<line class="&#34;&gt;&lt;script&gt;" x1="1.23"></line>'
    )
    assert "<script>" not in text(0, 0, "<script>alert(1)</script>")
    assert line([(0, 1.005), (2.5, 3)], "a") == '<polyline class="a" points="0,1,2.5,3"></polyline>'.replace(
        "0,1,2.5,3", "0,1 2.5,3"
    )


def test_a_bar_is_as_long_as_the_accuracy() -> None:
    drawn = draw_class_bar(0.5, [0.4, 0.6], 0.25)
    assert 'class="bar" x="0" y="3" width="60"' in drawn
    assert 'd="M48.0 9.0H72.0M48.0 5v8M72.0 5v8"' in drawn
    assert 'class="bar-overall" x1="30" x2="30"' in drawn
    assert "<title>no images</title>" in draw_class_bar(None, None, None)


def test_a_history_marks_where_the_resolution_changes() -> None:
    history = [EpochRecord(epoch, side, 0.1, 1.0, 0.5, 1.0, 10.0) for epoch, side in ((1, 16), (2, 16), (3, 32))]
    drawn, loss = draw_accuracy(history), draw_loss(history)
    assert drawn.count('class="parting"') == 1
    assert ">16 px<" in drawn
    assert ">32 px<" in drawn
    for chart in (drawn, loss):
        assert chart.count('class="series-a mark"') == 4  # three points, and the legend
    assert "test images" not in drawn


def test_fields_are_drawn_to_scale() -> None:
    layers = tuple(
        LayerSummary(name, "Conv2d", 1, None, 0, 1, receptive_field=field, is_global=name == "c")
        for name, field in (("a", (3, 3)), ("b", (33, 33)), ("c", (11, 11)), ("d", None), ("e", (33, 33)))
    )
    drawn = draw_fields(summary_of(layers))
    assert drawn is not None
    assert drawn.count('class="field') == 2
    assert 'class="image-area" x="130" y="130" width="110" height="110"' in drawn
    assert re.findall(r"</svg>([^<]+)</li>", drawn) == ["the image: 11 x 11 px", "a: 3 x 3 px", "b: 33 x 33 px"]
    assert 'class="field field-1" x="20" y="20" width="330" height="330"' in drawn
    assert draw_fields(summary_of(layers[2:4])) is None


def summary_of(layers: tuple[LayerSummary, ...]) -> ModelSummary:
    return ModelSummary("net", (3, 11, 11), 1, "exact", layers, 0, 0, 0, 0)


def test_of_many_images_some_are_listed_and_the_rest_is_told() -> None:
    wrong = list(range(0, 2000, 2))
    chosen = choose(
        4000,
        wrong,
        most_pictures=40,
        most_listed=400,
        explained=torch.tensor([3999]),
        referenced=torch.tensor([3997]),
        mapped=torch.arange(1, 4000, 2),
    )
    listed = chosen.listed.tolist()
    assert len(set(listed)) == 400
    assert listed == sorted(listed)
    assert {3997, 3999, *wrong[:30]} <= set(listed)
    assert set(chosen.pictured.tolist()) <= set(listed)
    assert len(chosen.pictured) == 42  # the sample of correct images is not crowded out by mistakes
    # A quarter goes to a sample of the map, all of it; other listed images are no part of the sample.
    assert len(chosen.mapped) == 100
    assert set(chosen.mapped.tolist()) <= set(listed)
    assert 1 < float(chosen.mapped.double().std()) / 1000 < 1.4  # spread over the split: a uniform one has 1.15
    n_wrong = sum(position in set(wrong) for position in listed)
    assert chosen.words == (
        "pictures of the worst 30 of 1,000 mistakes and of a sample of 10 of the 3,000 correct images; "
        f"listed are 400 of 4,000 test images: {n_wrong} of 1,000 mistakes, the worst among them, and {400 - n_wrong} "
        "of 3,000 correct ones"
    )
    assert {position for position in listed if position in set(wrong)} == set(wrong[:n_wrong])


def test_a_full_page_of_many_images_pictures_the_listed_ones() -> None:
    chosen = choose(500, [1], is_full=True, most_listed=50)
    assert chosen.pictured.equal(chosen.listed)
    assert chosen.words.startswith("pictures of all listed images; listed are 50 of 500 test images: all 1 mistakes")
