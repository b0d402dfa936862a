"""What was measured of the maps, read back from a run's folder."""

from typing import Any

from visionlib.errors import RunError
from visionlib.inference.trained_model import load_record
from visionlib.runs import Run, read_json


def load_quality(run: Run) -> dict[str, Any]:
    """Read `explanations/quality.json`, as `MapQuality.to_dict` gave it.

    Raises:
        RunError: if it is absent or damaged, or of other weights.
    """
    place = run.explanations / "quality.json"
    remedy = "make it anew with `visionlib explain RUN --quality`"
    if not place.is_file():
        raise RunError(place, "the run lacks it", remedy)
    record = read_json(place)
    if record.get("weights_sha256") != load_record(run).weights_sha256:
        raise RunError(place, "is of other weights", remedy)
    return record
