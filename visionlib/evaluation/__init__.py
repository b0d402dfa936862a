"""Measures of a trained network, with n and interval."""

from visionlib.evaluation.effective_fields import EffectiveFields as EffectiveFields
from visionlib.evaluation.effective_fields import measure_effective_fields as measure_effective_fields
from visionlib.evaluation.evaluation import ClassAccuracy as ClassAccuracy
from visionlib.evaluation.evaluation import Evaluation as Evaluation
from visionlib.evaluation.evaluation import score_logits as score_logits
from visionlib.evaluation.from_run import evaluate as evaluate
from visionlib.evaluation.intervals import wilson_interval as wilson_interval
