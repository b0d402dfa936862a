"""`render_page`: templates, style, script and data of a page in one text."""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from visionlib.data.class_names import tidy_name
from visionlib.evaluation.wording import interval, number, percent
from visionlib.report.charts.field_chart import draw_fields
from visionlib.report.charts.history_chart import draw_history
from visionlib.report.charts.reliability_chart import draw_reliability
from visionlib.report.choice import Choice
from visionlib.report.contents import Contents, Missing
from visionlib.report.image_data import ImageData
from visionlib.report.matrix import build_matrix
from visionlib.report.tables import (
    tabulate_classes,
    tabulate_comparison,
    tabulate_duplicates,
    tabulate_history,
    tabulate_layers,
    tabulate_map,
    tabulate_pairs,
    tabulate_quality,
    tabulate_reliability,
)
from visionlib.report.verdict import write_verdict
from visionlib.runs import read_json
from visionlib.version import __version__

_SCRIPTS = (
    *("data", "colours", "state", "filters", "tiles", "gallery", "drawer", "matrix", "embedding_map", "lists"),
    *("downloads", "keyboard", "start"),
)
"""In the order in which they depend on each other."""


def render_page(contents: Contents, *, is_full: bool = False) -> tuple[str, Choice]:
    """Render the page of a run; return its HTML and the choice of images.

    Args:
        contents: the results of the run.
        is_full: include a picture of every test image.
    """
    images = ImageData(contents, is_full=is_full)
    style, script = _read("page.css"), _join_scripts()
    page = (
        _environment()
        .get_template("page.html")
        .render(
            run=contents,
            title=tidy_name(contents.name),
            version=__version__,
            style=Markup(style),  # noqa: S704  our own file
            script=Markup(script),  # noqa: S704  our own files
            policy=_write_policy(style, script),
            data=embed_json(images.to_dict()),
            evaluation_json=embed_json(read_json(contents.run.evaluation)),
            config_json=embed_json(contents.config),
            choice=images.choice,
            verdict=write_verdict(contents),
            **_draw_sections(contents),
        )
    )
    return page, images.choice


def embed_json(record: object) -> Markup:
    """Write JSON for a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    # A lone surrogate, as in a file name that is not UTF-8, cannot be encoded.
    return Markup(text.encode("utf-8", "backslashreplace").decode())  # noqa: S704  just escaped


def _draw_sections(contents: Contents) -> dict[str, Any]:
    """Make the charts and tables; None for a missing part."""
    evaluation = contents.evaluation
    quality, summary, duplicates = contents.quality, contents.summary, contents.duplicates
    history = [] if isinstance(contents.history, Missing) else contents.history
    return {
        "history_chart": draw_history(history) if history else None,
        "history_table": tabulate_history(history) if history else None,
        "class_table": tabulate_classes(evaluation),
        "pair_table": tabulate_pairs(evaluation),
        "matrix": build_matrix(evaluation.confusion),
        "reliability_chart": draw_reliability(evaluation.calibration.bins),
        "reliability_table": tabulate_reliability(evaluation),
        "map_table": None if isinstance(contents.embedding_map, Missing) else tabulate_map(contents.embedding_map),
        "quality_table": None if isinstance(quality, Missing) else tabulate_quality(quality),
        "duplicate_table": None if isinstance(duplicates, Missing) else tabulate_duplicates(duplicates),
        "layer_table": None if isinstance(summary, Missing) else tabulate_layers(summary),
        "field_chart": None if isinstance(summary, Missing) else draw_fields(summary),
        "comparison_tables": contents.comparison and tabulate_comparison(contents.comparison),
    }


def _write_policy(style: str, script: str) -> str:
    """Write a Content-Security-Policy that blocks all network access and every other script or style."""
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("visionlib.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, interval=interval, number=number, name=tidy_name)
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    return environment


def _join_scripts() -> str:
    parts = "\n".join(_read(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();'


def _read(name: str) -> str:
    return files("visionlib.report").joinpath("static", name).read_text(encoding="utf-8")
