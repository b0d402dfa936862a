"""The picture of a history shows the values of its records, whatever the run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from visionlib.drawing.figure_file import encode_figure
from visionlib.errors import RunError
from visionlib.evaluation.intervals import wilson_interval
from visionlib.runs import Run, create_run, write_json_lines
from visionlib.training.history_picture import draw_history, save_history_picture


def record(epoch: int, side_px: int = 32, **fields: Any) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "resolution_px": side_px,
        "learning_rate": 0.1,
        "seconds": 2.0,
        "images_per_second": 100.0,
        "loss": 2.0 / epoch,
        "training_accuracy": 1 - 0.9 / epoch,
        "validation_accuracy": None,
        "test_accuracy": None,
        "test_n": None,
        **fields,
    }


def legend(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for part in figure.legends for text in part.get_texts()]


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def curve(figure: Figure, label: str, panel: int = 0) -> list[tuple[float, float]]:
    (line,) = [line for line in figure.axes[panel].lines if str(line.get_label()).startswith(label)]
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def test_the_curves_are_those_of_the_history() -> None:
    history = [record(1, validation_accuracy=0.2), record(2, validation_accuracy=0.4), record(3)]
    figure = draw_history(history)
    assert curve(figure, "training") == [(r["epoch"], r["training_accuracy"]) for r in history]
    assert curve(figure, "held out") == [(1, 0.2), (2, 0.4)]
    (loss,) = [line for line in figure.axes[1].lines if len(np.asarray(line.get_xydata())) == 3]
    assert list(np.asarray(loss.get_ydata())) == [2.0, 1.0, 2.0 / 3]
    assert len(legend(figure)) == 2


def test_the_last_test_accuracy_has_n_and_interval() -> None:
    history = [record(1, test_accuracy=0.5, test_n=200), record(2, test_accuracy=0.75, test_n=200)]
    figure = draw_history(history, interval=(0.6858, 0.8051))
    label = "test: 75.00% of 200 images after epoch 2, 95 % interval 68.6% to 80.5%"
    assert label in legend(figure)
    (bar,) = figure.axes[0].collections
    assert bar.get_segments()[0].tolist() == [[2.0, 0.6858], [2.0, 0.8051]]  # type: ignore[attr-defined]
    assert "test: 75.00% of 200 images after epoch 2" in legend(draw_history(history))


def test_without_a_test_there_is_no_word_of_one() -> None:
    assert not any("test" in label for label in legend(draw_history([record(1), record(2)])))
    older = [{k: v for k, v in record(1).items() if not k.startswith("test")}]
    assert len(legend(draw_history(older))) == 1


def test_changes_of_the_resolution_are_marked() -> None:
    figure = draw_history([record(1, 16), record(2, 16), record(3, 24), record(4, 32)])
    assert written(figure) == ["16 px", "24 px", "32 px"]
    assert [text.get_position()[0] for text in figure.axes[0].texts] == [1.5, 3, 4]
    for axes in figure.axes:
        marks = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]  # type: ignore[index]
        assert marks == [2.5, 3.5]
    narrow = [record(epoch, 16 + 16 * (epoch % 2)) for epoch in range(1, 31)]
    assert written(draw_history(narrow)) == []


def test_one_epoch_alone_can_be_seen() -> None:
    figure = draw_history([record(1, test_accuracy=0.1, test_n=10)], interval=(0.0179, 0.4042))
    assert curve(figure, "training") == [(1.0, 1 - 0.9)]
    assert figure.axes[1].get_xlim() == (0.5, 1.5)
    (line,) = [line for line in figure.axes[0].lines if str(line.get_label()).startswith("training")]
    assert line.get_marker() != "None"
    assert line.get_markersize() > 0


def test_a_run_that_is_not_finished_leaves_room_and_says_so() -> None:
    figure = draw_history([record(1), record(2)], epochs=5, title="first")
    figure.draw_without_rendering()
    assert figure.get_suptitle() == "first \N{EN DASH} not finished: 2 of 5 epochs"
    assert figure.axes[1].get_xlim() == (0.5, 5.5)
    assert draw_history([record(1), record(2)], epochs=2, title="first").get_suptitle() == "first"


def test_a_run_without_an_epoch_has_no_picture() -> None:
    with pytest.raises(RunError, match="history: no epoch is finished"):
        draw_history([])


def test_a_run_keeps_its_picture_with_the_interval_of_its_test_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def draw(history: list[dict[str, Any]], **fields: Any) -> Figure:
        seen.append(fields)
        return draw_history(history, **fields)

    monkeypatch.setattr("visionlib.training.history_picture.draw_history", draw)
    monkeypatch.setattr("visionlib.training.history_picture.encode_figure", encode_figure)
    run = create_run(tmp_path / "first")
    for history in ([record(1, test_accuracy=0.75, test_n=200)], [record(1)]):
        write_json_lines(run.history, history)
        save_history_picture(run)
        assert (run._repr_png_() or b"").startswith(b"\x89PNG")
    assert seen[0]["interval"] == pytest.approx(wilson_interval(150, 200))
    assert seen[0]["title"] == "first"
    assert seen[1]["interval"] is None
    with pytest.raises(RunError, match="the run lacks this file"):
        save_history_picture(Run(tmp_path))
