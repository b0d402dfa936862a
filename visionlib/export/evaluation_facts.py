"""`EvaluationFacts`: the part of an evaluation that an exported network tells of itself.

It takes what `Evaluation.to_dict` returns, or what a run keeps of that in `evaluation.json`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from visionlib.errors import ConfigError
from visionlib.runs.fields import Count, FieldError, Key, Unit, parse_record


@dataclass(frozen=True)
class ClassFacts:
    """Accuracy of a class; None for one without images."""

    name: Annotated[str, Key("class")]
    n: Count
    accuracy: Unit | None
    confidence_interval: tuple[Unit, Unit] | None = None


@dataclass(frozen=True)
class CalibrationFacts:
    """Expected calibration error; None for no images."""

    ece: Unit | None = None


@dataclass(frozen=True)
class TemperatureFacts:
    """Calibration with a temperature."""

    after: CalibrationFacts


@dataclass(frozen=True)
class EvaluationFacts:
    """Accuracy on the test images with its 95 % interval, of each class too, and the calibration."""

    accuracy: Unit | None
    n: Count
    confidence_interval: tuple[Unit, Unit] | None = None
    per_class: tuple[ClassFacts, ...] = ()
    calibration: CalibrationFacts = CalibrationFacts()
    temperature: TemperatureFacts | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, named as in `Evaluation.to_dict`."""
        classes = [{"class": entry.name, **asdict(entry)} for entry in self.per_class]
        for entry in classes:
            del entry["name"]
        return {**asdict(self), "per_class": classes}


def take_evaluation(evaluation: "Mapping[str, Any] | EvaluationFacts | None") -> EvaluationFacts | None:
    """Take the facts out of an evaluation that a caller passes; None for None.

    Raises:
        ConfigError: if it is none.
    """
    if evaluation is None or isinstance(evaluation, EvaluationFacts):
        return evaluation
    try:
        return parse_record(EvaluationFacts, evaluation)
    except FieldError as error:
        raise ConfigError("evaluation", f"is none ({error})", "pass Evaluation.to_dict()") from error
