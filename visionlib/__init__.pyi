"""The public names; `__init__.py` imports each on first use."""

from .data import Dataset as Dataset
from .data import ImageSplit as ImageSplit
from .data import load_dataset as load_dataset
from .errors import VisionlibError as VisionlibError
from .evaluation import Evaluation as Evaluation
from .evaluation import compare_runs as compare_runs
from .evaluation import evaluate as evaluate
from .explanation import Explanation as Explanation
from .explanation import explain as explain
from .inference import TrainedModel as TrainedModel
from .inference import predict_logits as predict_logits
from .inspection import inspect_dataset as inspect_dataset
from .models import build_model as build_model
from .report import write_report as write_report
from .runs import Run as Run
from .runs import open_run as open_run
from .runs import trust_runs as trust_runs
from .summary import ModelSummary as ModelSummary
from .summary import summarize as summarize
from .training import TrainConfig as TrainConfig
from .training import find_learning_rate as find_learning_rate
from .training import import_checkpoint as import_checkpoint
from .training import recipe_config as recipe_config
from .training import resume as resume
from .training import train as train
from .version import __version__ as __version__
