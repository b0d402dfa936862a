"""An evaluation for notebooks: HTML without external files, in the colours of the page around it."""

from collections.abc import Iterator
from html import escape

from visionlib.drawing.html_table import CELL_STYLE, NAME_STYLE, TABLE_STYLE, render_table
from visionlib.evaluation.cells import HEADERS, LEGEND, class_rows, confused_pairs, overall_measures, overall_rows
from visionlib.evaluation.evaluation import Evaluation


def to_html(evaluation: Evaluation) -> str:
    """Render an evaluation as one `<div>`."""
    pairs = "".join(f"<li>{escape(line)}</li>" for line in confused_pairs(evaluation))
    parts = [
        '<div style="overflow-x: auto; color: inherit;">',
        render_table(HEADERS, class_rows(evaluation), bold_rows=overall_rows(evaluation)),
        *_measures_table(evaluation),
        f"<p><strong>most confused</strong></p>\n<ul>{pairs}</ul>" if pairs else "",
        f'<p style="opacity: 0.75;">{escape(LEGEND)}</p>',
        "</div>",
    ]
    return "\n".join(part for part in parts if part)


def _measures_table(evaluation: Evaluation) -> Iterator[str]:
    yield f'<table style="{TABLE_STYLE}">\n<tbody>'
    for measure in overall_measures(evaluation):
        yield (
            f'<tr><th scope="row" style="{NAME_STYLE} font-weight: normal;">{escape(measure.name)}</th>'
            f'<td style="{CELL_STYLE}">{escape(measure.value)}</td>'
            f'<td style="text-align: left; opacity: 0.75;">{escape(measure.meaning)}</td></tr>'
        )
    yield "</tbody>\n</table>"
