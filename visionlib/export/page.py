"""`export_page`: a trained network as one HTML file that classifies pictures, offline, in any browser."""

import base64
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from torch import Tensor

from visionlib.data.class_names import tidy_name
from visionlib.drawing.offline_page import embed_json, hash_source
from visionlib.drawing.palette import CONTRAST, MAIN, NEUTRAL, ON_DARK
from visionlib.errors import ConfigError, ModelError
from visionlib.eval_mode import eval_mode, unwrap_model
from visionlib.export.evaluation_facts import EvaluationFacts, take_evaluation
from visionlib.export.operations import OperationList, list_operations
from visionlib.export.source import name_source
from visionlib.inference.trained_model import TrainedModel
from visionlib.runs import write_bytes
from visionlib.runs.files import check_new_file
from visionlib.version import __version__

PagePrecision = Literal["fp32", "fp16"]

_ENGINE = ("resampling", "convolution", "operations", "network", "engine")
_PAGE = ("worker", "picture", "drawing", "camera", "answer", "start")
"""Scripts, in the order in which they depend on each other; those of the engine also run in a worker."""
_HUES = {"main": MAIN, "contrast": CONTRAST, "neutral": NEUTRAL}
_DTYPES: dict[PagePrecision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}
_TOLERANCES: dict[PagePrecision, float] = {"fp32": 1e-4, "fp16": 2e-2}


def export_page(
    model: TrainedModel,
    out: str | os.PathLike[str],
    *,
    force: bool = False,
    precision: PagePrecision = "fp32",
    title: str = "What is in the picture?",
    evaluation: Mapping[str, Any] | EvaluationFacts | None = None,
) -> Path:
    """Write a network as one HTML file with its weights, which classifies pictures without a server or a network.

    The file shows the five likeliest classes of a picture, their probabilities, and the class activation map, which is
    Grad-CAM at the last layer with positions. Probabilities are those of `softmax(logits / temperature)` in fp32 to
    1e-4; the file compares itself with the model when it is opened.

    Args:
        model: with its classes and the size that pictures are decoded to.
        out: the file.
        force: replace it if it exists.
        precision: of the stored weights; fp16 halves the file and changes probabilities by about 1e-3. The page
            computes in fp32 in any case.
        title: of the page, in words.
        evaluation: as `Evaluation.to_dict` returns it, for the accuracy on the page.
    Returns:
        The path of the file.
    Raises:
        ConfigError: if the file exists or has no folder, the model lacks the size of its pictures, or these are
            neither grayscale nor in color.
        ModelError: if the network cannot be traced, has an operation that the page cannot compute, or has not one
            logit for each class.
    """
    path = Path(out)
    check_new_file(path, force=force)
    page = render_page(model, precision=precision, title=title, evaluation=take_evaluation(evaluation))
    write_bytes(path, page.encode("utf-8", "replace"))  # a class name need not be valid Unicode
    return path


def render_page(
    model: TrainedModel, *, precision: PagePrecision, title: str, evaluation: EvaluationFacts | None
) -> str:
    """Render the page; see `export_page`."""
    if model.image_size is None:
        raise ConfigError("image_size", "is not known of this model", "give the size that its pictures are decoded to")
    if model.channels not in (1, 3):
        problem = f"has {model.channels} channels, and pictures have 1 or 3"
        raise ConfigError(type(model.network).__name__, problem, "choose a model for pictures")
    if precision not in _DTYPES:
        raise ConfigError(f"precision {precision}", "is unknown", f"choose from {', '.join(_DTYPES)}")
    input_size = model.input_size(_make_sample(model))
    listed = list_operations(model.network, input_size)
    names = model.classes or tuple(map(str, range(listed.classes)))
    if len(names) != listed.classes:
        problem = f"gives {listed.classes} logits for {len(names)} classes"
        raise ModelError(type(model.network).__name__, problem, "name the classes that it was made for")
    style, script = _join_styles(), _join_scripts()
    weights = torch.cat([torch.zeros(0), *(tensor.flatten() for tensor in listed.tensors)]).to(_DTYPES[precision])
    if not weights.isfinite().all():
        raise ModelError(type(model.network).__name__, f"has weights beyond {precision}", "export it in fp32")
    setup = _make_setup(model, listed, names, precision)
    return (
        _environment()
        .get_template("classifier.html")
        .render(
            title=tidy_name(title),
            classes=setup["classes"],
            version=__version__,
            policy=_write_policy(style, script),
            style=Markup(style),  # noqa: S704  our own files
            script=Markup(script),  # noqa: S704  our own files
            setup=embed_json(setup),
            weights=base64.b64encode(weights.numpy().tobytes()).decode(),
            has_map=listed.class_map is not None,
            map_size=listed.class_map.size if listed.class_map else None,
            seen=_describe_view(model, model.image_size, input_size),
            facts=_list_facts(model, precision, evaluation),
        )
    )


def _make_setup(
    model: TrainedModel, listed: OperationList, names: tuple[str, ...], precision: PagePrecision
) -> dict[str, Any]:
    """Describe the network and its preprocessing, with the answer to a test picture."""
    sample = _make_sample(model)
    input_size = model.input_size(sample)
    found = listed.class_map
    return {
        "classes": [tidy_name(name) for name in names],
        "size": {"height": sample.shape[2], "width": sample.shape[3]},
        "input_size": {"height": input_size[1], "width": input_size[2]},
        "resize": model.resize,
        "mean": list(model.mean),
        "std": list(model.std),
        "temperature": model.temperature or 1.0,
        "highest_energy": None if model.novelty is None else model.novelty.threshold,
        "network": {
            "precision": precision,
            "input_shape": [1, *input_size],
            "operations": [operation.to_dict() for operation in listed.operations],
            "tensors": [list(tensor.shape) for tensor in listed.tensors],
            "map": found and {"features": found.features, "weights": found.weights, "size": list(found.size)},
        },
        "expected": _predict(model, sample),
        "tolerance": _TOLERANCES[precision],
    }


def _make_sample(model: TrainedModel) -> Tensor:
    """Make the picture of `makeTestPixels` in engine.js, whose channels lie beside each other."""
    assert model.image_size is not None
    at = torch.arange(model.channels * model.image_size[0] * model.image_size[1], dtype=torch.int64)
    pixels = ((at * at * 31 + at * 17) % 256).to(torch.uint8)
    return pixels.view(1, *model.image_size, model.channels).permute(0, 3, 1, 2).contiguous()


def _predict(model: TrainedModel, images: Tensor) -> list[float]:
    with eval_mode(model.network) as network:
        dtype = next((tensor.dtype for tensor in network.parameters()), torch.float32)
        logits = network(model.prepare(images).to(dtype))[0].double().cpu()
    return [float(share) for share in (logits / (model.temperature or 1.0)).softmax(0)]


def _describe_view(model: TrainedModel, image_size: tuple[int, int], input_size: tuple[int, int, int]) -> str:
    """Say in a sentence what part of a picture the network sees, and how large."""
    part = "All of your picture" if model.resize == "whole" else "The middle of your picture"
    sides = f"{image_size[1]} × {image_size[0]} pixels"  # noqa: RUF001  the multiplication sign
    color = " in shades of grey" if model.channels == 1 else ""
    shrunk = input_size[1:] != image_size
    then = f", then shrunk to {input_size[2]} × {input_size[1]}" if shrunk else ""  # noqa: RUF001
    return f"{part}, in {sides}{color}{then}."


def _list_facts(
    model: TrainedModel, precision: PagePrecision, evaluation: EvaluationFacts | None
) -> list[tuple[str, str]]:
    """List what the page tells about the network; folders of this machine are left out."""
    network = unwrap_model(model.network)
    count = sum(parameter.numel() for parameter in network.parameters())
    facts = [
        ("Network", f"{type(network).__name__}, {count:,} weights"),
        ("Weights from", tidy_name(name_source(model))),
        ("Percentages", "calibrated on held-out pictures" if model.temperature else "as the network gives them"),
    ]
    if evaluation is not None and evaluation.accuracy is not None:
        facts.insert(1, ("Accuracy", f"{100 * evaluation.accuracy:.1f} % of {evaluation.n:,} test pictures"))
    if precision == "fp16":
        facts.append(("Weights", "stored in half precision"))
    return facts


def _write_policy(style: str, script: str) -> str:
    """Write a Content-Security-Policy that blocks all network access, and every other script but the worker's."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{hash_source(style)}'",
            f"script-src '{hash_source(script)}'",
            "worker-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("visionlib.export"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _join_styles() -> str:
    def define(colours: dict[str, str]) -> str:
        return ":root { " + " ".join(f"--{name}: {colour};" for name, colour in colours.items()) + " }"

    dark = define({name: ON_DARK[colour] for name, colour in _HUES.items()})
    return f"{define(_HUES)}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n{_read('page.css')}"


def _join_scripts() -> str:
    engine, page = ("\n".join(_read(f"{name}.js") for name in names) for names in (_ENGINE, _PAGE))
    setup = 'const setup = JSON.parse(document.getElementById("setup").textContent);'
    return (
        f'"use strict";\n(() => {{\n'
        f"function makeEngine(pause) {{\n{engine}\nreturn calls;\n}}\n"
        f"{_read('resampling.js')}\n{setup}\n{page}\n}})();"
    )


def _read(name: str) -> str:
    return files("visionlib.export").joinpath("static", name).read_text(encoding="utf-8")
