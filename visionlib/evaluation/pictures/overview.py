"""The pictures of an evaluation: each drawn out of the figures alone, with a sentence for those who do not see it."""

from collections.abc import Callable

from matplotlib.figure import Figure

from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.pictures.classes import describe_class_scores, draw_class_scores
from visionlib.evaluation.pictures.confusion import describe_confusion, draw_confusion
from visionlib.evaluation.pictures.coverage import describe_risk_coverage, draw_risk_coverage
from visionlib.evaluation.pictures.reliability import describe_reliability, draw_reliability

PICTURES: dict[str, tuple[Callable[[Evaluation], Figure], Callable[[Evaluation], str]]] = {
    "confusion": (draw_confusion, describe_confusion),
    "classes": (draw_class_scores, describe_class_scores),
    "reliability": (draw_reliability, describe_reliability),
    "risk-coverage": (draw_risk_coverage, describe_risk_coverage),
}
"""What draws each picture, and what describes it, by the name of its file."""
