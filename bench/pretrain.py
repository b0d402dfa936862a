"""Make pretrained weights of the package out of a finished run: half precision, `model.json` and a model card.

.venv/bin/python bench/pretrain.py RUN NAME [FOLDER]

FOLDER is by default that of the package. The accuracy before and after rounding is measured on the run's test images.
"""

import sys
from dataclasses import asdict, replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from visionlib.errors import ConfigError
from visionlib.evaluation.evaluate import evaluate_model
from visionlib.evaluation.evaluation import Evaluation
from visionlib.export import CardFacts, write_card
from visionlib.export.evaluation_facts import take_evaluation
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.checkpoints import load_weights
from visionlib.models.model_record import load_record
from visionlib.models.pretrained import FOLDER
from visionlib.runs import Run, hash_file, open_run, read_config, read_training, replacing, write_json
from visionlib.runs.files import write_bytes


def make_pretrained(run: Run, name: str, folder: Path = FOLDER) -> Path:
    """Write the folder of a name, and return it.

    Raises:
        ConfigError: if there is one of this name already, or weights do not fit into half precision.
    """
    place = folder / name
    if place.exists():
        raise ConfigError(name, "there are pretrained weights of this name already", "choose another, or remove them")
    model, record = TrainedModel.from_run(run, device="cpu", precision="fp32"), load_record(run)
    test = load_run_data(run).test
    plain = evaluate_model(model, test)
    half = {key: value.half() if value.is_floating_point() else value for key, value in load_file(run.weights).items()}
    infinite = [key for key, value in half.items() if not bool(value.isfinite().all())]
    if infinite:
        raise ConfigError(name, f"{infinite[0]} is too large for half precision", "keep the run as it is")
    place.mkdir(parents=True)
    with replacing(place / "model.safetensors") as temporary:
        save_file(half, temporary)
    load_weights(model.network, place / "model.safetensors")
    rounded = evaluate_model(model, test)
    sha256 = hash_file(place / "model.safetensors")
    record = replace(record, weights_sha256=sha256)
    size = (place / "model.safetensors").stat().st_size
    facts = CardFacts(
        name,
        config=read_config(run),
        training=read_training(run),
        evaluation=rounded.to_dict(),
        licence="mit",
        notes=(
            f"**File**: `model.safetensors`, {size:,} bytes, half precision; {spell(plain)} before rounding.",
            f"**Name**: `{name}`, as in `visionlib train DATASET --model {record.model} --init {name}`.",
        ),
    )
    taken = take_evaluation(rounded.to_dict())
    assert taken is not None
    write_json(place / "evaluation.json", taken.to_dict())
    write_bytes(place / "README.md", write_card(record, facts).encode())
    write_json(place / "model.json", asdict(record))  # last: it makes the name known
    return place


def spell(evaluation: Evaluation) -> str:
    """Write an accuracy with its interval, in percent."""
    assert evaluation.accuracy is not None
    assert evaluation.confidence_interval is not None
    low, high = evaluation.confidence_interval
    return f"{evaluation.accuracy:.2%} ({100 * low:.2f} to {100 * high:.2f})"


if __name__ == "__main__":
    made = make_pretrained(open_run(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:4]))
    sys.stdout.write(f"{made}\n")
