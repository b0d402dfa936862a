"""Pictures of an evaluation show its figures, whatever the classes are called and however many there are."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from visionlib.evaluation import Evaluation, score_logits
from visionlib.evaluation.pictures.classes import describe_class_scores, draw_class_scores
from visionlib.evaluation.pictures.confusion import describe_confusion, draw_confusion
from visionlib.evaluation.pictures.coverage import describe_risk_coverage, draw_risk_coverage
from visionlib.evaluation.pictures.overview import PICTURES
from visionlib.evaluation.pictures.reliability import describe_reliability, draw_reliability

HOSTILE = (
    "<script>alert(1)</script>",
    "a$b$c $\\frac{1}{0}$",
    "x" * 255,
    "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}\N{HEBREW LETTER VAV}",
    "[red]{{x}}\\",
    "line\nbreak\tand\x1b[31m",
    "\N{RIGHT-TO-LEFT OVERRIDE}turned",
)


def draw_evaluation(n: int, classes: tuple[str, ...], *, present: int = 0, held_out: bool = True) -> Evaluation:
    """Score drawn logits that are right more often than not, and claim too much."""
    k = len(classes)
    logits, labels = 2 * torch.randn(n, k), torch.randint(0, present or k, (n,))
    logits[torch.arange(n), labels] += 3
    part = (logits[: n // 2], labels[: n // 2]) if held_out else None
    return score_logits(logits, labels, classes, mirror_logits=logits, held_out=part)


def names(k: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(k))


def texts(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible()]


def points(figure: Figure, label: str) -> np.ndarray:
    (container,) = [one for one in figure.axes[0].containers if str(one.get_label()).startswith(label)]
    return np.asarray(container[0].get_xydata())


@pytest.mark.parametrize(
    ("n", "classes", "present"),
    [
        (300, names(2), 0),
        (900, names(100), 0),
        (900, names(230), 0),
        (300, HOSTILE, 0),
        (0, names(3), 0),
        (40, names(6), 1),
        (1, names(4), 0),
    ],
    ids=["two", "hundred", "more", "hostile", "no images", "one class", "one image"],
)
def test_every_picture_can_be_drawn_and_described(n: int, classes: tuple[str, ...], present: int) -> None:
    evaluation = draw_evaluation(n, classes, present=present)
    for draw, describe in PICTURES.values():
        figure = draw(evaluation)
        told = texts(figure)  # which lays it out, and warns where something does not fit
        assert figure.get_suptitle()
        assert not any("\n" in line or "\x1b" in line for line in told if line != figure.get_suptitle())
        assert describe(evaluation).endswith(".")
        assert f"{n:,} images" in " ".join(figure.get_suptitle().split())


def test_the_confusion_picture_shows_the_wrong_ones_as_shares_and_the_right_ones_grey() -> None:
    evaluation = draw_evaluation(400, names(6), present=5)
    figure = draw_confusion(evaluation)
    axes = figure.axes[0]
    frame, colours = (np.asarray(image.get_array()) for image in axes.images)
    counts = evaluation.confusion.counts.numpy()
    rows = evaluation.confusion.normalize_rows()
    for true, row in enumerate(rows):
        for guess in range(6):
            shown = colours[true, guess] if not np.ma.is_masked(colours) else np.ma.getdata(colours)[true, guess]
            if true != guess and row is not None and row[guess]:
                assert shown == pytest.approx(row[guess])
            else:
                assert np.isnan(shown)
    assert all(tuple(frame[place, place]) == to_rgb("#e3e3e3") for place in range(6))
    assert rows[5] is None
    assert tuple(frame[5, 0]) == to_rgb("#f7f7f7")
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(guess, true): str(count) for (true, guess), count in np.ndenumerate(counts) if count}
    highest = axes.images[1].get_clim()[1]
    assert highest == pytest.approx(np.nanmax(np.ma.getdata(colours)))


def test_of_many_classes_those_are_drawn_that_are_confused_most() -> None:
    k = 130
    logits = torch.eye(k).repeat(2, 1)
    labels = torch.arange(k).repeat(2)
    logits[3] = logits[7]
    logits[129] = logits[2]
    evaluation = score_logits(logits, labels, names(k))
    figure = draw_confusion(evaluation)
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(shown) == 100
    assert {"class 3", "class 7", "class 129", "class 2"} <= set(shown)
    assert shown == [name for name in names(k) if name in shown]
    assert "the 100 of 130 classes most often confused" in " ".join(figure.get_suptitle().split())
    assert not figure.axes[0].texts
    assert "class 3 for class 7, 1 of 2" in describe_confusion(evaluation)


def test_recall_and_precision_are_drawn_with_their_intervals_the_lowest_first() -> None:
    evaluation = draw_evaluation(300, names(6), present=5)
    figure = draw_class_scores(evaluation)
    order = sorted(evaluation.per_class[:5], key=lambda entry: entry.accuracy or 0)
    recall, precision = points(figure, "recall"), points(figure, "precision")
    assert recall[:, 0] == pytest.approx([entry.accuracy for entry in order])
    assert precision[:5, 0] == pytest.approx([entry.precision for entry in order])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[:5] == [f"{entry.name}  {entry.n}" for entry in order]
    assert labels[5] == "class 5  0"
    (bars,) = [one for one in figure.axes[0].containers if str(one.get_label()).startswith("recall")]
    ends = [segment[:, 0].tolist() for segment in bars[2][0].get_segments()]
    assert ends == pytest.approx(np.array([entry.confidence_interval for entry in order]))
    assert describe_class_scores(evaluation).count(order[0].name) == 1


def test_the_reliability_picture_shows_each_bin_before_and_after() -> None:
    evaluation = draw_evaluation(500, names(5))
    scaling = evaluation.temperature
    assert scaling is not None
    figure = draw_reliability(evaluation)
    for label, calibration in (("unscaled", evaluation.calibration), ("divided by", scaling.after)):
        full = [(entry.mean_confidence, entry.accuracy) for entry in calibration.bins if entry.n]
        assert points(figure, label) == pytest.approx(np.array(full))
    heights = [bar.get_height() for bar in figure.axes[1].patches if hasattr(bar, "get_height")]
    assert heights == [entry.n for entry in evaluation.calibration.bins]
    written = [text.get_text() for text in figure.axes[1].texts]
    assert written == [f"{entry.n:,}" for entry in evaluation.calibration.bins if entry.n]
    assert f"a temperature of {scaling.temperature:.3f}" in describe_reliability(evaluation)
    alone = draw_reliability(draw_evaluation(500, names(5), held_out=False))
    assert not any("temperature" in line for line in texts(alone))


def test_the_curve_of_risk_is_that_of_the_evaluation() -> None:
    evaluation = draw_evaluation(400, names(5))
    figure = draw_risk_coverage(evaluation)
    (line,) = [line for line in figure.axes[0].lines if str(line.get_label()).startswith("most confident first")]
    shown = np.asarray(line.get_xydata())
    assert shown == pytest.approx(np.array([(point.coverage, point.risk) for point in evaluation.coverage.points]))
    assert f"area {evaluation.coverage.area:.4f}" in str(line.get_label())
    half = evaluation.coverage.at(0.5)
    assert half is not None
    assert f"{100 * half.risk:.1f} % at {100 * half.coverage:.0f} %" in texts(figure)
    assert f"{100 * half.risk:.1f} % of the most confident {100 * half.coverage:.0f} %" in describe_risk_coverage(
        evaluation
    )
