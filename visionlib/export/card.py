"""The model card of a hub folder and of pretrained weights: what the network is, how good it is, how to use it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionlib.export.evaluation_facts import ClassFacts, EvaluationFacts, take_evaluation
from visionlib.inference.preprocessing import scale_width
from visionlib.models.model_record import ModelRecord
from visionlib.models.names import MODEL_NAMES
from visionlib.runs.training_records import RunConfig, TrainingRecord

_CARD = """---
{header}
---

# {name}

A `{model}` for {classes} classes: {names}.

- **Images**: {height} x {width} px, {channels} channels; pictures of other sizes are {resized} by Pillow's Lanczos
  filter. Mean {mean}, std {std}, as fractions of 255.{shrunk}
- **Data**: {data}
- **Training**: {training}
- **Test accuracy**: {accuracy}
- **Calibration**: {calibration}
{notes}
## Intended use

Teaching, and as a beginning of other trainings. The network knows these classes alone, and answers with one of them for
any image.

## Use

With PyTorch and safetensors:

```python
{lines}
```

`onnx/model.onnx`, where it is there, takes decoded pictures of any size (`images`, uint8, n x height x width x
{channels}), and does all of this itself. As a beginning of another training:

    visionlib train DATASET --model {model} --init FOLDER

timm cannot load these weights: its networks of similar names have other layers.

{per_class}
## Limits

- Do not use it for decisions about people, for safety, or on images of another kind without measuring it there.
- The accuracy is that on images drawn like the training images. Other cameras, crops or scenes may give another.
- A probability says how sure the network is among its classes, not whether the picture shows any of them.

## Licence

{licence} The training images have terms of their own, those of their source.

## Settings

`model.safetensors` has the SHA-256 `{sha256}`.

```json
{settings}
```
"""


@dataclass(frozen=True)
class CardFacts:
    """What is known beside `model.json`; None where it is not.

    Attributes:
        name: title of the card.
        config: of the run, `config.json`.
        training: of the run, `training.json`.
        evaluation: of the test images, as `Evaluation.to_dict` returns it.
        licence: of the weights; the hub's name of it, such as `mit`, or `unknown`.
        notes: further lines.
    """

    name: str
    config: RunConfig | None = None
    training: TrainingRecord | None = None
    evaluation: Mapping[str, Any] | EvaluationFacts | None = None
    licence: str = "unknown"
    notes: tuple[str, ...] = ()


def write_card(record: ModelRecord, facts: CardFacts) -> str:
    """Write the card as Markdown, with the metadata header of the Hugging Face hub.

    Args:
        record: describes the weights; its image size is the input size where it is not known.
        facts: what else is known.
    """
    evaluation = take_evaluation(facts.evaluation)
    height, width = record.image_size or record.input_size
    is_shrunk = tuple(record.input_size) != (height, width)
    return _CARD.format(
        header=_write_header(facts, evaluation),
        name=_inert(facts.name),
        model=record.model.replace("`", ""),
        classes=len(record.classes),
        names=", ".join(map(_inert, record.classes)),
        height=height,
        width=width,
        channels=record.channels,
        resized="resized whole" if record.resize == "whole" else "cut to their largest centred part and resized",
        mean=" ".join(f"{value:.4f}" for value in record.mean),
        std=" ".join(f"{value:.4f}" for value in record.std),
        shrunk=f" The network sees them at {record.input_size[0]} px." if is_shrunk else "",
        data=_describe_data(facts),
        training=_describe_training(facts),
        accuracy=_describe_accuracy(evaluation),
        calibration=_describe_calibration(record, evaluation),
        notes="".join(f"- {note}\n" for note in facts.notes),
        lines=write_lines(record),
        per_class=_tabulate_classes(evaluation),
        licence=_describe_licence(facts.licence),
        sha256=record.weights_sha256,
        settings=json.dumps(None if facts.config is None else facts.config.config.whole),
    )


def write_lines(record: ModelRecord) -> str:
    """Write the lines of PyTorch that classify images of the stored size, `images`, into `probabilities`."""
    height, width = record.image_size or record.input_size
    side = record.input_size[0]
    module, _, function = record.model.rpartition(":")
    if record.model in MODEL_NAMES:
        sizes = f"classes={len(record.classes)}, channels={record.channels}"
        build = f"network = build_model({json.dumps(record.model)}, {sizes})"
        source = "from visionlib.models import build_model"
    else:
        # A run may come from a stranger: nothing but names goes into lines of code.
        module = Path(module).stem if module.endswith(".py") else module
        is_name = re.fullmatch(r"[\w.]+", module) and function.isidentifier()
        module, function = (module, function) if is_name else ("your_module", "YourNetwork")
        build = f"network = {function}()  # with your arguments; its code is not in this folder"
        source = f"from {module} import {function}"
    shape = "(1, -1, 1, 1)"
    lines = ["import torch", "from safetensors.torch import load_file", source, "", build]
    lines += ['network.load_state_dict(load_file("model.safetensors"))', "network.eval()", ""]
    lines += [f"images = torch.zeros(1, {record.channels}, {height}, {width}, dtype=torch.uint8)  # yours"]
    lines += [f"mean, std = torch.tensor({list(record.mean)}), torch.tensor({list(record.std)})"]
    lines += [f"inputs = (images / 255 - mean.view{shape}) / std.view{shape}"]
    if side != height:
        size = (side, scale_width(height, width, side))
        resize = "torch.nn.functional.interpolate"
        lines += [f'inputs = {resize}(inputs, size={size}, mode="bilinear", antialias=True)']
    divided = "" if record.temperature is None else f" / {record.temperature}"
    lines += ["with torch.no_grad():", f"    probabilities = torch.softmax(network(inputs){divided}, dim=1)"]
    return "\n".join(lines)


def _write_header(facts: CardFacts, evaluation: EvaluationFacts | None) -> str:
    """Write the metadata as YAML; JSON's texts are YAML's."""
    lines = [f"license: {json.dumps(facts.licence)}", "pipeline_tag: image-classification", "library_name: visionlib"]
    lines += ["tags:", "- image-classification", "- pytorch", "- safetensors", "- onnx"]
    if evaluation is None or evaluation.accuracy is None:
        return "\n".join(lines)
    data = json.dumps(_data_name(facts))
    lines += ["metrics:", "- accuracy", "model-index:", f"- name: {json.dumps(facts.name)}", "  results:"]
    lines += ["  - task:", "      type: image-classification", "    dataset:", f"      name: {data}"]
    lines += [f"      type: {data}", "      split: test", "    metrics:", "    - type: accuracy"]
    return "\n".join([*lines, f"      value: {evaluation.accuracy}"])


def _data_name(facts: CardFacts) -> str:
    return "unknown" if facts.config is None else Path(facts.config.dataset.name).name


def _describe_data(facts: CardFacts) -> str:
    if facts.config is None or not facts.config.dataset.content_hash:
        return "not recorded."
    dataset = facts.config.dataset
    n = dataset.splits["train"].n if "train" in dataset.splits else 0
    return f"{_inert(_data_name(facts))}, {n:,} training images, content hash `{_inert(dataset.content_hash)}`."


def _describe_training(facts: CardFacts) -> str:
    if facts.config is None or facts.training is None:
        return "not recorded."
    visionlib, torch = (_inert(facts.config.versions.get(name, "?")) for name in ("visionlib", "torch"))
    hardware = _inert(facts.config.compute.hardware)
    return f"{facts.training.epochs} epochs, visionlib {visionlib}, torch {torch}, {hardware}."


def _describe_accuracy(evaluation: EvaluationFacts | None) -> str:
    if evaluation is None or evaluation.accuracy is None:
        return "not measured."
    return f"{_spell(evaluation)}, n = {evaluation.n:,}, Wilson interval, 95 %."


def _describe_calibration(record: ModelRecord, evaluation: EvaluationFacts | None) -> str:
    if evaluation is None or (plain := evaluation.calibration.ece) is None:
        return "not measured."
    scaled = None if evaluation.temperature is None else evaluation.temperature.after.ece
    if record.temperature is None or scaled is None:
        return f"expected calibration error {plain:.4f} in 15 bins; no temperature is applied."
    divided = f"with the logits divided by {record.temperature:.4g}, {plain:.4f} without"
    return f"expected calibration error {scaled:.4f} in 15 bins {divided}."


def _describe_licence(licence: str) -> str:
    if licence == "unknown":
        return "The licence of the weights is not stated."
    return f"The weights are under this licence: {_inert(licence)}."


def _tabulate_classes(evaluation: EvaluationFacts | None) -> str:
    if evaluation is None or not evaluation.per_class:
        return ""
    lines = ["## Accuracy of each class", "", "| class | accuracy | n |", "|---|---|---|"]
    for entry in evaluation.per_class:
        accuracy = "none" if entry.accuracy is None else _spell(entry)
        lines.append(f"| {_inert(entry.name)} | {accuracy} | {entry.n:,} |")
    return "\n".join([*lines, ""])


def _spell(scores: EvaluationFacts | ClassFacts) -> str:
    """Write an accuracy with its interval, in percent."""
    low, high = scores.confidence_interval or (0.0, 1.0)
    return f"{scores.accuracy or 0:.2%} ({100 * low:.2f} to {100 * high:.2f})"


def _inert(text: str) -> str:
    """Write a name so that Markdown and HTML take it for nothing but text, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$&])", r"\\\1", " ".join(text.split())).replace("\\<", "&lt;")
