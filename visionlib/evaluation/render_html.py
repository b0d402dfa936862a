"""An evaluation for notebooks: HTML that needs nothing beside it, in the colours of the page around it."""

from collections.abc import Iterator
from html import escape

from visionlib.evaluation.cells import HEADERS, LEGEND, class_rows, confused_pairs, overall_figures, overall_row
from visionlib.evaluation.evaluation import Evaluation

_TABLE = (
    "color: inherit; border: none; margin-bottom: 0.8em; border-collapse: separate; border-spacing: 1em 0.1em; "
    "font-variant-numeric: tabular-nums;"
)
_LINE = "border-bottom: 1px solid rgba(128, 128, 128, 0.5);"
_NAME = "text-align: left; max-width: 24em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;"
_CELL = "text-align: right; white-space: nowrap;"


def to_html(evaluation: Evaluation) -> str:
    """Write an evaluation as one `<div>`."""
    pairs = "".join(f"<li>{escape(line)}</li>" for line in confused_pairs(evaluation))
    parts = [
        '<div style="overflow-x: auto; color: inherit;">',
        *_class_table(evaluation),
        *_figures_table(evaluation),
        f"<p><strong>most confused</strong></p>\n<ul>{pairs}</ul>" if pairs else "",
        f'<p style="opacity: 0.75;">{escape(LEGEND)}</p>',
        "</div>",
    ]
    return "\n".join(part for part in parts if part)


def _class_table(evaluation: Evaluation) -> Iterator[str]:
    heads = [
        f'<th scope="col" style="{_LINE} {_CELL if place else _NAME}">{escape(header)}</th>'
        for place, header in enumerate(HEADERS)
    ]
    yield f'<table style="{_TABLE}">\n<thead><tr>{"".join(heads)}</tr></thead>\n<tbody>'
    for row in class_rows(evaluation):
        yield _row(row, weight="normal")
    yield _row(overall_row(evaluation), weight="bold")
    yield "</tbody>\n</table>"


def _row(cells: tuple[str, ...], weight: str) -> str:
    name, *figures = cells
    # Isolated, so that a name that is written from right to left does not turn the figures round.
    head = f'<th scope="row" style="{_NAME} font-weight: {weight};"><bdi>{escape(name)}</bdi></th>'
    rest = "".join(f'<td style="{_CELL} font-weight: {weight};">{escape(figure)}</td>' for figure in figures)
    return f"<tr>{head}{rest}</tr>"


def _figures_table(evaluation: Evaluation) -> Iterator[str]:
    yield f'<table style="{_TABLE}">\n<tbody>'
    for figure in overall_figures(evaluation):
        yield (
            f'<tr><th scope="row" style="{_NAME} font-weight: normal;">{escape(figure.name)}</th>'
            f'<td style="{_CELL}">{escape(figure.value)}</td>'
            f'<td style="text-align: left; opacity: 0.75;">{escape(figure.meaning)}</td></tr>'
        )
    yield "</tbody>\n</table>"
