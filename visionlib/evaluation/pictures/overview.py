"""All pictures of an evaluation, each drawn from its numbers alone, with a text alternative."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from visionlib.drawing.figure_file import SUFFIXES, encode_figure
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.pictures.classes import describe_class_scores, draw_class_scores
from visionlib.evaluation.pictures.confusion import describe_confusion, draw_confusion
from visionlib.evaluation.pictures.coverage import describe_risk_coverage, draw_risk_coverage
from visionlib.evaluation.pictures.reliability import describe_reliability, draw_reliability
from visionlib.runs import write_bytes

PICTURES: dict[str, tuple[Callable[[Evaluation], Figure], Callable[[Evaluation], str]]] = {
    "confusion": (draw_confusion, describe_confusion),
    "classes": (draw_class_scores, describe_class_scores),
    "reliability": (draw_reliability, describe_reliability),
    "risk-coverage": (draw_risk_coverage, describe_risk_coverage),
}
"""The functions that draw and describe each picture, by the name of its file."""


def save_evaluation_pictures(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Save every picture of an evaluation as PNG and SVG in an existing folder, and return the paths."""
    paths = []
    for name, (draw, describe) in PICTURES.items():
        figure = draw(evaluation)
        for suffix in SUFFIXES:
            paths.append(folder / f"{name}{suffix}")
            write_bytes(paths[-1], encode_figure(figure, suffix, describe(evaluation)))
    return paths
