"""Measures of a trained network on a split, each with its n and interval; and comparison of runs."""

from visionlib.evaluation.calibration import Calibration as Calibration
from visionlib.evaluation.class_scores import ClassScore as ClassScore
from visionlib.evaluation.comparison.compare import compare_runs as compare_runs
from visionlib.evaluation.comparison.comparison import Comparison as Comparison
from visionlib.evaluation.confusion import ConfusedPair as ConfusedPair
from visionlib.evaluation.confusion import ConfusionMatrix as ConfusionMatrix
from visionlib.evaluation.coverage import RiskCoverage as RiskCoverage
from visionlib.evaluation.effective_fields import EffectiveFields as EffectiveFields
from visionlib.evaluation.effective_fields import measure_effective_fields as measure_effective_fields
from visionlib.evaluation.evaluate import evaluate as evaluate
from visionlib.evaluation.evaluate import evaluate_model as evaluate_model
from visionlib.evaluation.evaluate import evaluate_run as evaluate_run
from visionlib.evaluation.evaluation import Evaluation as Evaluation
from visionlib.evaluation.evaluation import load_evaluation as load_evaluation
from visionlib.evaluation.intervals import wilson_interval as wilson_interval
from visionlib.evaluation.mistakes import Mistakes as Mistakes
from visionlib.evaluation.mistakes import find_mistakes as find_mistakes
from visionlib.evaluation.scoring import score_logits as score_logits
from visionlib.evaluation.temperature import TemperatureScaling as TemperatureScaling
from visionlib.evaluation.votes.opinions import Opinions as Opinions
from visionlib.evaluation.votes.opinions import judge_mistakes as judge_mistakes
from visionlib.evaluation.votes.votes import Votes as Votes
from visionlib.evaluation.votes.votes import load_votes as load_votes
from visionlib.inference.predictions import StoredPredictions as StoredPredictions
from visionlib.inference.predictions import load_predictions as load_predictions
from visionlib.inference.temperature import fit_temperature as fit_temperature
