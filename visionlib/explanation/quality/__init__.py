"""Reliability of maps: measures for every method, with intervals and a verdict."""

from visionlib.explanation.quality.estimate import Estimate as Estimate
from visionlib.explanation.quality.measure import measure_quality as measure_quality
from visionlib.explanation.quality.measure import measure_run_quality as measure_run_quality
from visionlib.explanation.quality.result import MapQuality as MapQuality
from visionlib.explanation.quality.result import MethodQuality as MethodQuality
from visionlib.explanation.quality.result import load_quality as load_quality
