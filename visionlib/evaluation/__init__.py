"""Measures of a trained network, with n and interval."""

from visionlib.evaluation.compare import compare_runs as compare_runs
from visionlib.evaluation.comparison import Comparison as Comparison
from visionlib.evaluation.effective_fields import EffectiveFields as EffectiveFields
from visionlib.evaluation.effective_fields import measure_effective_fields as measure_effective_fields
from visionlib.evaluation.evaluation import ClassAccuracy as ClassAccuracy
from visionlib.evaluation.evaluation import Evaluation as Evaluation
from visionlib.evaluation.evaluation import score_logits as score_logits
from visionlib.evaluation.from_run import evaluate as evaluate
from visionlib.evaluation.intervals import wilson_interval as wilson_interval
from visionlib.evaluation.kept_predictions import KeptPredictions as KeptPredictions
from visionlib.evaluation.kept_predictions import read_kept_predictions as read_kept_predictions
from visionlib.evaluation.mistakes import Mistakes as Mistakes
from visionlib.evaluation.mistakes import find_mistakes as find_mistakes
from visionlib.evaluation.opinions import Opinions as Opinions
from visionlib.evaluation.opinions import judge_mistakes as judge_mistakes
from visionlib.evaluation.votes import Votes as Votes
from visionlib.evaluation.votes import load_votes as load_votes
