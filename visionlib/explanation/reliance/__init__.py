"""Whether a network relies on properties that could be shortcuts."""

from visionlib.explanation.reliance.measure import measure_reliance as measure_reliance
from visionlib.explanation.reliance.result import Reliance as Reliance
from visionlib.explanation.reliance.result import load_reliance as load_reliance
