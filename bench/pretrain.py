"""Make pretrained weights of the package out of a finished run: half precision, `model.json` and a model card.

.venv/bin/python bench/pretrain.py RUN NAME [FOLDER]

FOLDER is by default that of the package. The accuracy before and after rounding is measured on the run's test images.
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from visionlib.data import ImageSplit
from visionlib.errors import ConfigError
from visionlib.evaluation.evaluate import evaluate_model
from visionlib.evaluation.evaluation import Evaluation
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel, load_record
from visionlib.models.checkpoints import load_weights
from visionlib.models.pretrained import FOLDER
from visionlib.runs import Run, hash_file, open_run, read_json, replacing, write_json
from visionlib.runs.files import write_bytes

CARD = """# {name}

A `{model}` for {classes} classes: {names}.

- **Images**: {height} x {width} px, {channels} channels, mean {mean}, std {std} as fractions of 255.
- **Data**: {data}, {n_train:,} training images, content hash `{content_hash}`.
- **Training**: {epochs} epochs, visionlib {version}, torch {torch}, {hardware}. All settings are below.
- **Test accuracy**: {plain} before and {rounded} after rounding to half precision, n = {n:,}, Wilson intervals, 95 %.
- **File**: `model.safetensors`, {size:,} bytes, half precision, SHA-256 `{sha256}`.

## Use

    visionlib train DATASET --model {model} --init {name}

## Licence and limits

The weights are under the licence of this package. The images have terms of their own, those of their source.

The network knows these classes alone, and answers with one of them for any image. It is for teaching and as a
beginning of other trainings. Do not use it for decisions about people, for safety, or on images of another kind
without measuring it there.

## Settings

```json
{settings}
```
"""


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
    write_bytes(place / "README.md", describe(run, name, place, test, plain, rounded).encode())
    write_json(place / "model.json", asdict(replace(record, weights_sha256=sha256)))  # last: it makes the name known
    return place


def describe(run: Run, name: str, place: Path, test: ImageSplit, plain: Evaluation, rounded: Evaluation) -> str:
    """Write the model card."""
    record, config = load_record(run), read_json(run.config)
    fields: dict[str, Any] = {
        "name": name,
        "model": record.model,
        "classes": len(record.classes),
        "names": ", ".join(record.classes),
        "height": record.input_size[0],
        "width": record.input_size[1],
        "channels": record.channels,
        "mean": " ".join(f"{value:.4f}" for value in record.mean),
        "std": " ".join(f"{value:.4f}" for value in record.std),
        "data": Path(config["dataset"]["name"]).name,
        "n_train": config["dataset"]["splits"]["train"]["n"],
        "content_hash": config["dataset"]["content_hash"],
        "epochs": read_json(run.training)["epochs"],
        "version": config["versions"]["visionlib"],
        "torch": config["versions"]["torch"],
        "hardware": config["compute"]["hardware"],
        "plain": spell(plain),
        "rounded": spell(rounded),
        "n": len(test),
        "size": (place / "model.safetensors").stat().st_size,
        "sha256": hash_file(place / "model.safetensors"),
        "settings": json.dumps(config["config"]),
    }
    return CARD.format(**fields)


def spell(evaluation: Evaluation) -> str:
    """Write an accuracy with its interval, in percent."""
    assert evaluation.accuracy is not None
    assert evaluation.confidence_interval is not None
    low, high = evaluation.confidence_interval
    return f"{evaluation.accuracy:.2%} ({100 * low:.2f} to {100 * high:.2f})"


if __name__ == "__main__":
    made = make_pretrained(open_run(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:4]))
    sys.stdout.write(f"{made}\n")
