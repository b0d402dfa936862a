"""Label candidates as CSV: for people and spreadsheets, which must not run what a class name says."""

import csv
import io

from visionlib.inspection.candidates import LabelCandidates

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
"""What a cell begins with that a spreadsheet takes for a formula or a command."""


def tabulate_candidates(candidates: LabelCandidates) -> str:
    """Give a line per candidate: rank, index, given and suggested class, score, and the probability of every class.

    A name that a spreadsheet would take for a formula gets an apostrophe before it.

    Source: OWASP, CSV injection.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"probability of {name}" for name in candidates.classes]
    writer.writerow(["rank", "index", "split", "given", "suggested", "score", *names])
    for rank, row in enumerate(candidates.to_rows(), 1):
        words = (candidates.split, row["given"], row["suggested"])
        numbers = (f"{value:.6f}" for value in (row["score"], *row["probabilities"]))
        writer.writerow([rank, row["index"], *map(_disarm, words), *numbers])
    return text.getvalue()


def _disarm(name: str) -> str:
    return f"'{name}" if name.lstrip(" ").startswith(_FORMULA) else name
