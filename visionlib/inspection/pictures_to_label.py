"""`PicturesToLabel`: which pictures to label next, in which order, and why."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from visionlib.errors import DataError
from visionlib.evaluation.spreadsheet import write_csv
from visionlib.evaluation.wording import percent


@dataclass(frozen=True)
class PictureToLabel:
    """A picture that was chosen.

    Attributes:
        rank: from 1, the picture that stands for most uncertainty.
        index: its number among the pictures that were given and could be read, from 0.
        file: its path, as given or found; None for pixels in memory.
        predicted: the likeliest class.
        confidence: its probability.
        second: the second likeliest class.
        second_confidence: its probability.
        stands_for: number of unsure pictures of its cluster, itself among them.
        score: sum of their uncertainty, each 1 less the difference of the two largest probabilities.
        is_unusual: whether the picture is unlike anything in training; False where that cannot be told.
    """

    rank: int
    index: int
    file: str | None
    predicted: str
    confidence: float
    second: str
    second_confidence: float
    stands_for: int
    score: float
    is_unusual: bool

    @property
    def reason(self) -> str:
        """Why it was chosen, in words, as `or dog 41.4 %; 6 more like it; unusual`."""
        parts = [f"or {self.second} {percent(self.second_confidence)}"]
        if self.stands_for > 1:
            parts.append(f"{self.stands_for - 1:,} more like it")
        if self.is_unusual:
            parts.append("unusual")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, and the reason in words."""
        return {**asdict(self), "reason": self.reason}


@dataclass(frozen=True)
class PicturesToLabel:
    """Pictures to label next.

    Attributes:
        pictures: in the order in which to label them.
        n: pictures that were read.
        candidates: the most unsure of these, among which the choice was made.
        copies: pictures that were left out as near duplicates of a candidate.
        seed: of the clusters.
        errors: files that could not be read, and why.
    """

    pictures: tuple[PictureToLabel, ...]
    n: int
    candidates: int
    copies: int
    seed: int
    errors: tuple[tuple[str, DataError], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain types for JSON."""
        return {
            "n": self.n,
            "candidates": self.candidates,
            "copies": self.copies,
            "seed": self.seed,
            "pictures": [picture.to_dict() for picture in self.pictures],
            "errors": [{"file": file, "error": str(error)} for file, error in self.errors],
        }

    def write(self, path: Path) -> None:
        """Write the pictures as a CSV file.

        Raises:
            ConfigError: if the path is a folder, or its folder is absent.
            RunError: if the file cannot be written.
        """
        header = ("rank", "file", "index", "class", "confidence", "score", "stands_for", "unusual", "reason")
        rows = (
            (one.rank, one.file, one.index, one.predicted, one.confidence, one.score, one.stands_for, one.is_unusual)
            for one in self.pictures
        )
        reasons = (one.reason for one in self.pictures)
        write_csv(path, header, ((*row, reason) for row, reason in zip(rows, reasons, strict=True)))
