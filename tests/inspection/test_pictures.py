"""Pictures show what the results say, whatever the classes are called, and nothing in them overlaps."""

import io
from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from visionlib.drawing.lettering import measure_text
from visionlib.errors import RunError
from visionlib.inspection import EmbeddingMap, LabelCandidates, MapSettings, Neighbours
from visionlib.inspection.candidate_picture import describe_candidates, draw_candidates
from visionlib.inspection.framed_image import CAPTION_PT, fit_name
from visionlib.inspection.map_picture import describe_map, draw_map
from visionlib.inspection.neighbour_picture import describe_neighbours, draw_neighbours

HOSTILE = ("$x^2$", "שלום עולם", 'say "no"', "w" * 255, "_hidden", "a\nb\x00", "<b>&amp;</b>", "", "plain", "\\frac{")


def names_of(k: int) -> tuple[str, ...]:
    return (HOSTILE * 10)[:k]


def map_of(k: int, n: int = 600) -> EmbeddingMap:
    labels = torch.arange(n) % k
    middles = torch.randn(k, 2) * 20
    predictions = torch.where(torch.rand(n) < 0.1, (labels + 1) % k, labels)
    positions = middles[labels] + torch.randn(n, 2) * 3
    return EmbeddingMap(
        "test",
        torch.arange(n),
        positions,
        labels,
        predictions,
        names_of(k),
        MapSettings(),
        30.0,
        1.5,
        0.9,
        600,
        12,
        700,
    )


def near_of(n: int = 3, k: int = 5) -> tuple[Neighbours, torch.Tensor, torch.Tensor]:
    neighbours = Neighbours(
        index=torch.arange(n) + 9_990,
        labels=torch.arange(n) % 10,
        predictions=torch.arange(n) * 2 % 10,
        positions=torch.arange(n * k).view(n, k),
        neighbour_index=torch.arange(n * k).view(n, k) + 49_000,
        neighbour_labels=torch.arange(n * k).view(n, k) % 10,
        distances=torch.rand(n, k),
        classes=names_of(10),
    )
    images = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8)
    return neighbours, images, torch.randint(0, 256, (n, k, 3, 32, 32), dtype=torch.uint8)


def candidates_of(m: int, k: int = 10) -> LabelCandidates:
    probabilities = torch.rand(m, k, dtype=torch.float64).softmax(1)
    given = torch.arange(m) % k
    suggested = (given + 1) % k
    scores = probabilities[torch.arange(m), given]
    index = torch.arange(m) + 9_000
    return LabelCandidates("test", "x", 1000, index, given, suggested, scores, probabilities, names_of(k), "hash")


def written(figure: Figure) -> list[Text]:
    """All text that is to be seen, after the picture is laid out."""
    figure.draw_without_rendering()
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    texts = [text for text in written(figure) if text.axes is None or text.axes.axison]
    boxes = [(text.get_text(), text.get_window_extent().shrunk(0.98, 0.9)) for text in texts]
    return [(a, b) for (a, box), (b, other) in combinations(boxes, 2) if box.overlaps(other)]


def leaving(figure: Figure) -> list[str]:
    width, height = figure.get_size_inches() * figure.dpi
    outside = []
    for text in written(figure):
        if text.axes is not None and not text.axes.axison:
            continue
        box = text.get_window_extent()
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
            outside.append(text.get_text())
    return outside


def pixels(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    return buffer.getvalue()


@pytest.mark.parametrize("k", [2, 10, 12, 13, 100])
def test_a_map_shows_every_image_and_names_every_class(k: int) -> None:
    found = map_of(k)
    figure = draw_map(found)
    *classes, wrong = figure.axes[0].collections
    assert len(classes) == k
    for label, dots in enumerate(classes):
        assert np.asarray(dots.get_offsets()) == pytest.approx(found.positions[found.labels == label].numpy())
    is_wrong = found.predictions != found.labels
    assert np.asarray(wrong.get_offsets()) == pytest.approx(found.positions[is_wrong].numpy())
    assert len({tuple(np.asarray(dots.get_facecolor())[0]) for dots in classes}) == min(k, 10)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == k + 1
    assert legend[-1] == f"{int(is_wrong.sum())} predicted wrong"
    for label in range(k):
        short = fit_name(found.classes[label], 72)
        assert legend[label] == (short if k <= 12 else f"{label} {short}")
    assert [text.get_text() for text in figure.axes[0].texts] == (
        legend[:-1] if k <= 12 else [str(c) for c in range(k)]
    )
    assert overlapping(figure) == []
    assert leaving(figure) == []


def test_styles_of_64_classes_differ() -> None:
    from visionlib.inspection.map_picture import _style_of

    assert len({_style_of(label) for label in range(64)}) == 64


def test_classes_in_one_place_still_get_names_that_can_be_read() -> None:
    found = map_of(10)
    crowded = EmbeddingMap(**{**vars(found), "positions": torch.randn(600, 2)})
    assert overlapping(draw_map(crowded)) == []
    assert leaving(draw_map(crowded)) == []


def test_a_map_in_words() -> None:
    positions = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0], [9.0, 8.0], [30.0, 0.0]])
    labels, predictions = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 1, 1, 2])
    found = EmbeddingMap(
        "test",
        torch.arange(5),
        positions,
        labels,
        predictions,
        ("cat", "dog", "ship"),
        MapSettings(),
        1.3,
        0.5,
        0.9,
        5,
        2,
        5,
    )
    told = describe_map(found)
    assert told.startswith("5 images of the test split by t-SNE")
    assert "1 of 5 are predicted wrong and crossed. The classes that lie nearest to each other are cat and dog." in told
    one = EmbeddingMap(**{**vars(found), "labels": torch.zeros(5, dtype=torch.int64)})
    assert "nearest to each other" not in describe_map(one)
    assert len(draw_map(one).axes[0].texts) == 1


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 5), (2, 9)])
def test_neighbours_are_shown_as_they_are_with_class_and_distance(n: int, k: int) -> None:
    found, images, near = near_of(n, k)
    figure = draw_neighbours(found, images, near)
    panels = np.array(figure.axes).reshape(n, k + 1)
    for row in range(n):
        (shown,) = panels[row, 0].images
        assert np.array_equal(shown.get_array(), images[row].permute(1, 2, 0).numpy())
        for column in range(k):
            panel = panels[row, column + 1]
            (shown,) = panel.images
            assert np.array_equal(shown.get_array(), near[row, column].permute(1, 2, 0).numpy())
            is_same = found.neighbour_labels[row, column] == found.labels[row]
            sign, index, distance = panel.get_xlabel().split("\n")
            assert sign.startswith("\N{CHECK MARK}" if is_same else "\N{BALLOT X}")
            assert index == str(int(found.neighbour_index[row, column]))
            assert distance == f"distance {found.distances[row, column]:.3f}"
            assert (panel.spines["top"].get_linestyle() == "-") == bool(is_same)
    assert overlapping(figure) == []
    assert leaving(figure) == []
    assert describe_neighbours(found).count("test image ") == n


@pytest.mark.parametrize("shown", [1, 3, 7, 25])
def test_candidates_are_shown_with_both_classes_and_score(shown: int) -> None:
    found = candidates_of(40)
    images = torch.randint(0, 256, (shown, 1, 28, 28), dtype=torch.uint8)
    figure = draw_candidates(found, images)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == shown
    for panel, image, row in zip(panels, images, found.to_rows()[:shown], strict=True):
        assert np.array_equal(np.asarray(panel.images[0].get_array()), image[0].numpy()[..., None].repeat(3, 2))
        first, given, suggested = panel.get_xlabel().split("\n")
        assert first == f"image {row['index']}, score {row['score']:.3f}"
        assert given == f"given: {fit_name(row['given'], 59)}"
        assert suggested == f"suggested: {fit_name(row['suggested'], 59)}"
    assert "not errors" in figure.get_suptitle()
    assert "error" not in " ".join(panel.get_xlabel() for panel in panels)
    assert overlapping(figure) == []
    assert leaving(figure) == []
    assert describe_candidates(found, shown).count("suggested") == shown


def test_nothing_to_draw_is_told() -> None:
    none = torch.zeros(0, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(RunError, match="candidates: there are 3, and 0 images to draw"):
        draw_candidates(candidates_of(3), none)
    found, images, near = near_of(2)
    with pytest.raises(RunError, match="neighbours: are of 0 images"):
        draw_neighbours(found.select(()), images[:0], near[:0])
    with pytest.raises(RunError, match="neighbours: are of 2 images, with 1 to draw"):
        draw_neighbours(found, images[:1], near[:1])


def test_the_same_result_gives_the_same_picture() -> None:
    found, images, near = near_of(2)
    assert pixels(draw_neighbours(found, images, near)) == pixels(draw_neighbours(found, images, near))
    places = map_of(4)
    assert pixels(draw_map(places)) == pixels(draw_map(places))
    assert Image.open(io.BytesIO(pixels(draw_map(places)))).width > 300


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("cat", "cat", "cat"),
        ("a\nb\x00c", "a b\N{REPLACEMENT CHARACTER}c", "c"),
        ("", "(no name)", "(no name)"),
        ("w" * 255, "wwww", "www"),
        ("sheep " * 9, "sheep s", "sheep"),
    ],
)
def test_names_are_made_short(name: str, begin: str, end: str) -> None:
    short = fit_name(name, 80)
    assert short.startswith(begin)
    assert short.endswith(end)
    assert measure_text(short, CAPTION_PT) <= 80
