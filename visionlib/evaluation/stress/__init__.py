"""Accuracy and calibration of a network on corrupted images."""

from visionlib.evaluation.stress.measure import stress as stress
from visionlib.evaluation.stress.result import StressResult as StressResult
from visionlib.evaluation.stress.result import load_stress as load_stress
from visionlib.evaluation.stress.scores import ClassFall as ClassFall
from visionlib.evaluation.stress.scores import ConditionScore as ConditionScore
from visionlib.evaluation.stress.scores import StrengthScore as StrengthScore
