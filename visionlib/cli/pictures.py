"""Pictures as files: PNG or SVG by their name, the same bytes for the same picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from visionlib.errors import ConfigError
from visionlib.runs import Run, check_file_place, read_json_lines, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from visionlib.evaluation import Evaluation

_KINDS = (".png", ".svg")
_DOTS_PER_INCH = 120


def check_picture_path(path: Path) -> None:
    """Refuse, before anything is computed, what a picture cannot be saved as.

    Raises:
        ConfigError: if the name ends in neither .png nor .svg, it is a folder, or its folder is absent.
    """
    if path.suffix.lower() not in _KINDS:
        raise ConfigError(str(path), "is no picture by its name", "end it in .png or .svg")
    check_file_place(path)


def save_picture(figure: "Figure", path: Path, description: str = "") -> None:
    """Save a figure, whole or not at all, with a description in words for those who do not see it."""
    import matplotlib as mpl

    kind = path.suffix.lower().removeprefix(".")
    # Else SVG carries the time, and names that are drawn by chance.
    metadata: dict[str, str | None] = {"Date": None} if kind == "svg" else {}
    if description:
        metadata["Description"] = description
    with mpl.rc_context({"svg.hashsalt": "visionlib", "svg.fonttype": "none"}), replacing(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=_DOTS_PER_INCH, metadata=metadata, bbox_inches="tight")


def make_picture_folder(folder: Path) -> None:
    """Make a folder for pictures if there is none.

    Raises:
        ConfigError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(str(folder), f"cannot be made ({error.strerror})", "choose another folder") from error


def save_evaluation_pictures(evaluation: "Evaluation", folder: Path) -> list[Path]:
    """Save every picture of an evaluation, as PNG and SVG, and tell where."""
    from visionlib.evaluation.pictures.overview import PICTURES

    saved = []
    for name, (draw, describe) in PICTURES.items():
        figure = draw(evaluation)
        for kind in _KINDS:
            saved.append(folder / f"{name}{kind}")
            save_picture(figure, saved[-1], describe(evaluation))
    return saved


def save_history(run: Run) -> None:
    """Leave a picture of the history in a finished run."""
    from visionlib.evaluation.intervals import wilson_interval
    from visionlib.training.pictures import draw_history

    history = read_json_lines(run.history)
    share, n = history[-1]["test_accuracy"], history[-1]["test_n"]
    interval = None if share is None else wilson_interval(round(share * n), n)
    save_picture(draw_history(history, interval=interval, title=run.path.name), run.history_picture)
