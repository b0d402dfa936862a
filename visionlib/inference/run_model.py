"""How a run keeps a network: its weights, its record, its layer table; and how it is built again."""

from dataclasses import asdict, replace

from torch import nn

from visionlib.errors import ModelError, RunError
from visionlib.eval_mode import unwrap_model
from visionlib.models import build_model, load_weights
from visionlib.models.layout import initialize_lazy, prepare_layout
from visionlib.models.model_record import ModelRecord as ModelRecord
from visionlib.models.model_record import load_record
from visionlib.models.state_file import save_state
from visionlib.models.user_model import refuse_strange_code
from visionlib.runs import Run, hash_file, replacing, write_json
from visionlib.runs.results import load_result
from visionlib.summary import ModelSummary, summarize


def save_model(run: Run, network: nn.Module, record: ModelRecord) -> ModelRecord:
    """Write the weights, then the record with their SHA-256, and return it."""
    with replacing(run.weights) as temporary:
        save_state(network, temporary)
    record = replace(record, weights_sha256=hash_file(run.weights))
    write_json(run.model, asdict(record))
    return record


def load_model(run: Run, network: nn.Module | None = None) -> tuple[nn.Module, ModelRecord]:
    """Build the run's network with its weights, on the CPU and in eval mode.

    Args:
        run: finished.
        network: takes the weights, instead of one that is built by the name in the record.

    Raises:
        RunError: if the weights are absent, or do not have the SHA-256 of `model.json`.
        ModelError: if the network cannot be built again.
    """
    record = load_record(run)
    if not run.weights.is_file():
        raise RunError(run.weights, "the run lacks its weights", "restore the file, or train again")
    if hash_file(run.weights) != record.weights_sha256:
        raise RunError(run.weights, "does not have the SHA-256 of model.json", "restore it, or train again")
    if network is None:
        refuse_strange_code(run, record.model)
        network = build_model(record.model, classes=len(record.classes), channels=record.channels)
    network = unwrap_model(network)
    initialize_lazy(network, (record.channels, *record.input_size))
    load_weights(prepare_layout(network), run.weights)
    return network.eval(), record


def save_summary(run: Run, network: nn.Module, record: ModelRecord) -> None:
    """Write `summary.json`, the layer table at the input size; nothing for a network that cannot be followed."""
    try:
        table = summarize(network, (record.channels, *record.input_size), name=record.model)
    except ModelError:
        return
    write_json(run.summary, table.to_dict())


def load_summary(run: Run) -> ModelSummary:
    """Read `summary.json`.

    Raises:
        RunError: if it is absent or damaged.
    """
    return load_result(
        run.summary,
        {},
        lambda record, arrays: ModelSummary.from_dict(record),
        remedy=f"visionlib summary {run.path}",
        has_arrays=False,
    )
