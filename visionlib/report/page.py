"""`render_page`: templates, style, script and data of a page in one text."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from visionlib.data.class_names import tidy_name
from visionlib.drawing.offline_page import embed_json, hash_source
from visionlib.drawing.palette import CONTRAST, MAIN, NEUTRAL, ON_DARK, REFERENCE, TRUE_CLASS
from visionlib.evaluation.groups.wording import describe_figures, describe_groups, describe_mistakes
from visionlib.evaluation.stress.cells import describe_means, legend
from visionlib.evaluation.wording import count, interval, number, percent
from visionlib.explanation.reliance.wording import tell_shortcuts
from visionlib.report.charts.field_chart import draw_fields
from visionlib.report.charts.history_chart import draw_accuracy, draw_loss
from visionlib.report.charts.reliability_chart import draw_reliability
from visionlib.report.charts.stress_chart import draw_stress
from visionlib.report.choice import MOST_LISTED, Choice
from visionlib.report.contents import Contents, Missing
from visionlib.report.image_data import ImageData
from visionlib.report.map_data import describe_explained
from visionlib.report.matrix import build_matrix
from visionlib.report.path_names import PathNames
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
    tabulate_shortcuts,
    tabulate_stress,
)
from visionlib.report.verdict import make_cards, write_verdict
from visionlib.runs import read_json
from visionlib.version import __version__

_STYLES = ("base.css", "sections.css", "images.css")
_SCRIPTS = (
    *("data", "colours", "state", "filters", "tiles", "gallery", "drawer", "maps", "matrix", "embedding_map"),
    *("map_picture", "lists", "navigation", "scrolling", "downloads", "keyboard", "start"),
)
"""In the order in which they depend on each other."""
_MOST_BYTES = {False: 2_000_000, True: 6_000_000}
"""Size limits of the page, without and with `is_full`."""
_FEWER_LISTED = (MOST_LISTED // 2, MOST_LISTED // 4, MOST_LISTED // 8, MOST_LISTED // 16)
_HUES = {"main": MAIN, "contrast": CONTRAST, "reference": REFERENCE, "true-class": TRUE_CLASS, "neutral": NEUTRAL}


def render_page(
    contents: Contents, names: PathNames, *, is_full: bool = False, with_files: bool = True
) -> tuple[str, Choice]:
    """Render the page of a run; return its HTML and the choice of images.

    It lists up to 20,000 images, and fewer where it would otherwise exceed 2 MB, or 6 MB with `is_full`.

    Args:
        contents: the results of the run.
        names: shorten the paths that the page shows.
        is_full: include a picture of every test image.
        with_files: name the file of every image, as its path within the data's folder.
    """
    page, choice = _render(contents, names, MOST_LISTED, is_full=is_full, with_files=with_files)
    for most_listed in _FEWER_LISTED:
        if len(page.encode("utf-8", "replace")) <= _MOST_BYTES[is_full]:
            break
        # Long names of files take more room than pictures.
        page, choice = _render(contents, names, most_listed, is_full=is_full, with_files=with_files)
    return page, choice


def _render(
    contents: Contents, names: PathNames, most_listed: int, *, is_full: bool, with_files: bool
) -> tuple[str, Choice]:
    images = ImageData(contents, names, is_full=is_full, with_files=with_files, most_listed=most_listed)
    payload = images.to_dict()
    style, script = _join_styles(), _join_scripts()
    sentence = names.shorten_sentence
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
            data=embed_json(payload),
            evaluation_json=embed_json(_shorten_notes(read_json(contents.run.evaluation), names)),
            config_json=embed_json(names.shorten_config(contents.config.whole)),
            config=names.shorten_config(contents.config.whole),
            settings=contents.config.config,
            model=names.shorten_value(contents.stored.record.model),
            sentence=sentence,
            with_paths=names.with_paths,
            has_files=payload["sources"] is not None,
            choice=images.choice,
            cards=make_cards(contents),
            verdict=write_verdict(contents),
            **_draw_sections(contents, names),
        )
    )
    return page, images.choice


def _shorten_notes(evaluation: Mapping[str, Any], names: PathNames) -> dict[str, Any]:
    """Shorten paths in the notes of `evaluation.json`; class names stay as they are."""
    return {
        name: names.shorten_sentence(value) if isinstance(value, str) else value for name, value in evaluation.items()
    }


def _keep_together(text: str) -> str:
    """Write percentages in a sentence with one space, which does not end a line."""
    return re.sub(r"(\d) ?%", "\\1\N{NO-BREAK SPACE}%", text)


def _draw_sections(contents: Contents, names: PathNames) -> dict[str, Any]:
    """Make the charts and tables; None for a missing part."""
    evaluation = contents.evaluation
    quality, summary, duplicates = contents.quality, contents.summary, contents.duplicates
    explanations, stress, shortcuts = contents.explanations, contents.stress, contents.shortcuts
    history = () if isinstance(contents.history, Missing) else contents.history
    return {
        "groups_found": None if isinstance(contents.groups, Missing) else describe_groups(contents.groups),
        "groups": [
            (group.description, describe_figures(group), describe_mistakes(group), len(group.images))
            for group in contents.weak_groups
        ],
        "history_charts": [draw_accuracy(history), draw_loss(history)] if history else None,
        "history_table": tabulate_history(history) if history else None,
        "class_table": tabulate_classes(evaluation),
        "pair_table": tabulate_pairs(evaluation),
        "matrix": build_matrix(evaluation.confusion),
        "reliability_chart": draw_reliability(evaluation.calibration.bins),
        "reliability_table": tabulate_reliability(evaluation),
        "stress_chart": None if isinstance(stress, Missing) else draw_stress(stress),
        "stress_tables": None if isinstance(stress, Missing) else tabulate_stress(stress),
        "stress_words": None if isinstance(stress, Missing) else (describe_means(stress), legend(stress)),
        "shortcut_tables": None if isinstance(shortcuts, Missing) else tabulate_shortcuts(shortcuts),
        "shortcut_words": None if isinstance(shortcuts, Missing) else tell_shortcuts(shortcuts),
        "map_table": None if isinstance(contents.embedding_map, Missing) else tabulate_map(contents.embedding_map),
        "quality_table": None if isinstance(quality, Missing) else tabulate_quality(quality),
        "explained": None if isinstance(explanations, Missing) else describe_explained(explanations),
        "duplicate_table": None if isinstance(duplicates, Missing) else tabulate_duplicates(duplicates),
        "layer_table": None
        if isinstance(summary, Missing)
        else tabulate_layers(summary, names.shorten_value(summary.model)),
        "field_chart": None if isinstance(summary, Missing) else draw_fields(summary),
        "comparison_tables": contents.comparison and tabulate_comparison(contents.comparison, names.shorten_value),
    }


def _write_policy(style: str, script: str) -> str:
    """Write a Content-Security-Policy that blocks all network access and every other script or style."""
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{hash_source(style)}'",
            f"script-src '{hash_source(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("visionlib.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent, interval=interval, number=number, count=count, name=tidy_name, figures=_keep_together
    )
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    return environment


def _join_styles() -> str:
    """Join the style sheets below the colours of the palette."""

    def define(colours: dict[str, str]) -> str:
        return ":root { " + " ".join(f"--{name}: {colour};" for name, colour in colours.items()) + " }"

    dark = define({name: ON_DARK[colour] for name, colour in _HUES.items()})
    hues = f"{define(_HUES)}\n@media (prefers-color-scheme: dark) {{ {dark} }}"
    return "\n".join([hues, *map(_read, _STYLES)])


def _join_scripts() -> str:
    parts = "\n".join(_read(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();'


def _read(name: str) -> str:
    return files("visionlib.report").joinpath("static", name).read_text(encoding="utf-8")
