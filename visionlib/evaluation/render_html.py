"""An evaluation as self-contained HTML for notebooks, in the colors of the surrounding page."""

from collections.abc import Iterator
from html import escape

from visionlib.evaluation.cells import HEADERS, LEGEND, class_rows, confused_pairs, overall_measures, overall_row
from visionlib.evaluation.evaluation import Evaluation

_TABLE = (
    "color: inherit; border: none; margin-bottom: 0.8em; border-collapse: separate; border-spacing: 1em 0.1em; "
    "font-variant-numeric: tabular-nums;"
)
_LINE = "border-bottom: 1px solid rgba(128, 128, 128, 0.5);"
_NAME = "text-align: left; max-width: 24em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;"
_CELL = "text-align: right; white-space: nowrap;"


def to_html(evaluation: Evaluation) -> str:
    """Return an evaluation as one `<div>`."""
    pairs = "".join(f"<li>{escape(line)}</li>" for line in confused_pairs(evaluation))
    parts = [
        '<div style="overflow-x: auto; color: inherit;">',
        *_class_table(evaluation),
        *_measures_table(evaluation),
        f"<p><strong>most confused</strong></p>\n<ul>{pairs}</ul>" if pairs else "",
        f'<p style="opacity: 0.75;">{escape(LEGEND)}</p>',
        "</div>",
    ]
    return "\n".join(part for part in parts if part)


def _class_table(evaluation: Evaluation) -> Iterator[str]:
    heads = [
        f'<th scope="col" style="{_LINE} {_CELL if column else _NAME}">{escape(header)}</th>'
        for column, header in enumerate(HEADERS)
    ]
    yield f'<table style="{_TABLE}">\n<thead><tr>{"".join(heads)}</tr></thead>\n<tbody>'
    for row in class_rows(evaluation):
        yield _row(row, weight="normal")
    yield _row(overall_row(evaluation), weight="bold")
    yield "</tbody>\n</table>"


def _row(cells: tuple[str, ...], weight: str) -> str:
    name, *values = cells
    # Isolated by <bdi>, so that a right-to-left name does not reverse the numbers.
    head = f'<th scope="row" style="{_NAME} font-weight: {weight};"><bdi>{escape(name)}</bdi></th>'
    rest = "".join(f'<td style="{_CELL} font-weight: {weight};">{escape(value)}</td>' for value in values)
    return f"<tr>{head}{rest}</tr>"


def _measures_table(evaluation: Evaluation) -> Iterator[str]:
    yield f'<table style="{_TABLE}">\n<tbody>'
    for measure in overall_measures(evaluation):
        yield (
            f'<tr><th scope="row" style="{_NAME} font-weight: normal;">{escape(measure.name)}</th>'
            f'<td style="{_CELL}">{escape(measure.value)}</td>'
            f'<td style="text-align: left; opacity: 0.75;">{escape(measure.meaning)}</td></tr>'
        )
    yield "</tbody>\n</table>"
