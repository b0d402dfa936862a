"""TensorBoard's event files; nothing else needs the package."""

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from visionlib.errors import ConfigError
from visionlib.runs import Run

_NAMES = {
    "loss": "loss/training",
    "training_accuracy": "accuracy/training",
    "validation_accuracy": "accuracy/held out",
    "test_accuracy": "accuracy/test",
    "learning_rate": "schedule/learning rate",
    "resolution_px": "schedule/resolution in pixels",
    "images_per_second": "speed/images per second",
}
"""Field of an epoch's record -> name of the chart."""


def check_tensorboard() -> None:
    """Check that the package is installed.

    Raises:
        ConfigError: if it is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "tensorboard", "the package is not installed", "pip install tensorboard, or leave the setting out"
        )


@contextmanager
def scalar_writer(run: Run, finished_epochs: int, *, is_wanted: bool) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yield a function that writes an epoch's record as scalars into the run's `tensorboard` folder.

    Args:
        run: the run that trains.
        finished_epochs: of a resumed run; records of later epochs are removed.
        is_wanted: without it the function does nothing.
    Raises:
        ConfigError: if the package is needed and not installed.
    """
    if not is_wanted:
        yield lambda record: None
        return
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run.tensorboard), purge_step=finished_epochs + 1)

    def write(record: Mapping[str, Any]) -> None:
        for field, name in _NAMES.items():
            if record.get(field) is not None:
                writer.add_scalar(name, record[field], record["epoch"])
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
