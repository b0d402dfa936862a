"""Duplicates as a table that spreadsheets can be trusted with."""

from pathlib import Path

from visionlib.evaluation.spreadsheet import write_csv
from visionlib.inspection.duplicates import Duplicates

_HEADER = (
    *("kind", "split", "index", "label", "other_split", "other_index", "other_label"),
    *("correlation", "detail", "cosine"),
)


def write_duplicates(duplicates: Duplicates, path: Path) -> None:
    """Write all pairs as a CSV file, whole or not at all; see `spreadsheet.write_csv`.

    Those that a run's network alone found come last; without a run the column `cosine` is empty.

    Raises:
        ConfigError: if the file cannot be written.
    """
    rows = [
        (
            pair.kind,
            *(pair.splits[0], pair.index[0], pair.labels[0]),
            *(pair.splits[1], pair.index[1], pair.labels[1]),
            *(pair.whole, pair.detail, pair.cosine),
        )
        for pair in (*duplicates.pairs, *(duplicates.by_embeddings or ()))
    ]
    write_csv(path, _HEADER, rows)
