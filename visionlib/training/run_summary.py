"""The layer table of a run's network, kept in its folder: `summary.json`."""

from torch import nn

from visionlib.errors import ModelError
from visionlib.runs import Run, write_json
from visionlib.summary import summarize
from visionlib.training.trained_model import ModelRecord


def save_summary(run: Run, model: nn.Module, record: ModelRecord) -> None:
    """Write the layer table at the size that the network takes in; nothing for one that cannot be followed."""
    try:
        table = summarize(model, (record.channels, *record.input_size), name=record.model)
    except ModelError:
        return
    write_json(run.summary, table.to_dict())
