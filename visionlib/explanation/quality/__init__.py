"""Whether maps can be believed: figures for every method, with intervals, and what they mean in words."""

from visionlib.explanation.quality.measure import measure_quality as measure_quality
from visionlib.explanation.quality.measure import measure_run_quality as measure_run_quality
from visionlib.explanation.quality.result import Figure as Figure
from visionlib.explanation.quality.result import MapQuality as MapQuality
from visionlib.explanation.quality.result import MethodQuality as MethodQuality
