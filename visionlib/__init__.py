"""Train a small-image classifier, know exactly what it sees, and show where and why it is wrong.

Data flows one way; each station may import what stands to its left, never the other way:

    errors <- runs <- data <- models | summary <- training <- evaluation
           <- explanation | inspection <- report <- cli

Importing `visionlib` loads none of them: a name brings its station in when it is first used.
"""

from typing import TYPE_CHECKING

from visionlib.lazy import lazy_exports
from visionlib.version import __version__ as __version__

_HOMES = {
    "Dataset": "visionlib.data",
    "Evaluation": "visionlib.evaluation",
    "Explanation": "visionlib.explanation",
    "ImageSplit": "visionlib.data",
    "ModelSummary": "visionlib.summary",
    "Run": "visionlib.runs",
    "TrainConfig": "visionlib.training",
    "VisionlibError": "visionlib.errors",
    "build_model": "visionlib.models",
    "compare_runs": "visionlib.evaluation",
    "evaluate": "visionlib.evaluation",
    "explain": "visionlib.explanation",
    "find_learning_rate": "visionlib.training",
    "inspect_dataset": "visionlib.inspection",
    "load_dataset": "visionlib.data",
    "open_run": "visionlib.runs",
    "predict_logits": "visionlib.models",
    "recipe_config": "visionlib.training",
    "resume": "visionlib.training",
    "summarize": "visionlib.summary",
    "train": "visionlib.training",
    "write_report": "visionlib.report",
}
__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from visionlib.data import Dataset as Dataset
    from visionlib.data import ImageSplit as ImageSplit
    from visionlib.data import load_dataset as load_dataset
    from visionlib.errors import VisionlibError as VisionlibError
    from visionlib.evaluation import Evaluation as Evaluation
    from visionlib.evaluation import compare_runs as compare_runs
    from visionlib.evaluation import evaluate as evaluate
    from visionlib.explanation import Explanation as Explanation
    from visionlib.explanation import explain as explain
    from visionlib.inspection import inspect_dataset as inspect_dataset
    from visionlib.models import build_model as build_model
    from visionlib.models import predict_logits as predict_logits
    from visionlib.report import write_report as write_report
    from visionlib.runs import Run as Run
    from visionlib.runs import open_run as open_run
    from visionlib.summary import ModelSummary as ModelSummary
    from visionlib.summary import summarize as summarize
    from visionlib.training import TrainConfig as TrainConfig
    from visionlib.training import find_learning_rate as find_learning_rate
    from visionlib.training import recipe_config as recipe_config
    from visionlib.training import resume as resume
    from visionlib.training import train as train
else:
    __getattr__ = lazy_exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
