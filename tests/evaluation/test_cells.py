"""The cells on a terminal and in a notebook hold the numbers of the evaluation."""

import io
import re
from html.parser import HTMLParser

import torch
from rich.console import Console

from tests.evaluation.test_evaluation_pictures import HOSTILE, draw_evaluation, names
from visionlib.cli.tables import tabulate_evaluation
from visionlib.evaluation import Evaluation, score_logits
from visionlib.evaluation.cells import HEADERS, class_rows, confused_pairs, overall_measures, overall_row, overall_rows


def on_terminal(evaluation: Evaluation, width: int = 100) -> str:
    paper = io.StringIO()
    console = Console(file=paper, width=width, color_system=None)
    for part in tabulate_evaluation(evaluation):
        console.print(part)
    return paper.getvalue()


def in_percent(fraction: float | None) -> str:
    assert fraction is not None
    return f"{100 * fraction:.2f} %"


def test_cells_are_the_figures() -> None:
    evaluation = draw_evaluation(300, names(6), present=5)
    for cells, entry in zip(class_rows(evaluation), evaluation.per_class, strict=True):
        row = dict(zip(HEADERS, cells, strict=True))
        if not entry.n:
            assert [row[name] for name in HEADERS[2:4]] == ["n/a", "n/a"]
            continue
        low, high = entry.confidence_interval or (0, 0)
        assert row["accuracy"] == in_percent(entry.accuracy)
        assert row["95 % interval"] == f"{100 * low:.1f} % to {100 * high:.1f} %"
        assert row["precision"] == in_percent(entry.precision)
        assert row["F1"] == f"{entry.f1:.3f}"
        assert row["n"] == str(entry.n)
    assert overall_row(evaluation)[:3] == ("overall", "300", in_percent(evaluation.accuracy))
    measures = {measure.name: measure for measure in overall_measures(evaluation)}
    assert measures["top-5 accuracy"].value == in_percent(evaluation.top5_accuracy)
    assert measures["with mirror averaging"].value == in_percent(evaluation.mirror_accuracy)
    assert measures["loss"].value == f"{evaluation.loss:.4f}"
    assert measures["calibration error"].value == f"{evaluation.calibration.ece:.4f}"
    assert evaluation.temperature is not None
    assert measures["temperature"].value == f"{evaluation.temperature.temperature:.3f}"
    assert f"to {evaluation.temperature.after.ece:.4f}" in measures["temperature"].meaning


def two_classes(wrong: tuple[int, int], n: tuple[int, int]) -> Evaluation:
    """An evaluation with known numbers of wrong answers among known numbers of images."""
    labels = torch.tensor([0] * n[0] + [1] * n[1])
    predicted = torch.tensor([1] * wrong[0] + [0] * (n[0] - wrong[0]) + [0] * wrong[1] + [1] * (n[1] - wrong[1]))
    return score_logits(torch.nn.functional.one_hot(predicted, 2).float(), labels, ("many", "few"))


def test_classes_of_different_size_have_a_balanced_accuracy_beside_the_accuracy() -> None:
    evaluation = two_classes((0, 8), (90, 10))  # 92 of 100 are right, and 2 of 10 of the small class
    rows = overall_rows(evaluation)
    assert rows[0] == overall_row(evaluation)
    assert rows[1][:3] == ("balanced", "", "60.00 %")
    low, high = evaluation.balanced_interval or (0, 0)
    assert rows[1][3] == f"{100 * low:.1f} % to {100 * high:.1f} %"
    assert evaluation.to_dict()["balanced_confidence_interval"] == [low, high]
    assert low < 0.6 < high < 0.8  # that of 92 of 100 is 85 % to 96 %
    assert " 60.00 % " in on_terminal(evaluation)
    assert "60.00 %" in evaluation._repr_html_()


def test_classes_of_one_size_have_no_second_row() -> None:
    assert len(overall_rows(two_classes((3, 4), (10, 10)))) == 1


def test_five_confused_pairs_are_listed_with_counts_and_shares() -> None:
    evaluation = draw_evaluation(300, names(6))
    lines = confused_pairs(evaluation)
    assert len(lines) == 5
    for line, pair in zip(lines, evaluation.confusion.find_confused_pairs(5), strict=True):
        assert line.startswith(
            f"{pair.true} taken for {pair.predicted}: {pair.count} of {pair.n} ({100 * pair.share:.1f} %, "
        )


def test_a_terminal_shows_every_figure_at_any_width() -> None:
    evaluation = draw_evaluation(300, ("x" * 255, *names(5)))
    for width in (60, 80, 120):
        shown = on_terminal(evaluation, width)
        assert max(map(len, shown.splitlines())) <= width
        for cells in [*class_rows(evaluation), overall_row(evaluation)]:
            assert all(re.search(rf"(?m) {re.escape(cell)} ", shown) for cell in cells[1:] if cell)
        assert all(measure.value in shown for measure in overall_measures(evaluation))


def test_an_unknown_measure_is_not_written_as_a_number() -> None:
    none = score_logits(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), tuple("abc"))
    shown = on_terminal(none)
    assert "nan" not in shown.lower()
    assert "%" not in shown.split("balanced accuracy")[1].split("accuracy of a class")[0].replace("95 %", "")
    assert shown.count("n/a") >= 3 * 4 + 8


class _Cells(HTMLParser):
    """Gather tags and words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_notebook_shows_the_same_and_hostile_names_are_inert() -> None:
    evaluation = draw_evaluation(300, HOSTILE)
    page = _Cells()
    page.feed(evaluation._repr_html_())
    assert page.tags == {"div", "table", "thead", "tbody", "tr", "th", "td", "bdi", "p", "strong", "ul", "li"}
    for cells in [*class_rows(evaluation), overall_row(evaluation)]:
        assert all(cell in page.words for cell in cells if cell)
    for measure in overall_measures(evaluation):
        assert measure.value in page.words
        assert measure.meaning in page.words
    assert all(line in page.words for line in confused_pairs(evaluation))
    assert "<script>" not in evaluation._repr_html_()


def test_a_terminal_takes_hostile_names_as_they_are() -> None:
    shown = on_terminal(draw_evaluation(300, HOSTILE), 400)
    assert "[red]{{x}}\\" in shown
    assert "\x1b" not in shown
    assert "line break" in shown
