"""Options that name pictures: checked before anything is computed, and saved as PNG or SVG by their name."""

from pathlib import Path
from typing import TYPE_CHECKING

from visionlib.drawing.figure_file import SUFFIXES, encode_figure
from visionlib.errors import ConfigError
from visionlib.runs import check_file_place, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_picture_path(path: Path) -> None:
    """Check that a picture can be saved at a path.

    Raises:
        ConfigError: if the name ends in neither .png nor .svg, it is a folder, or its folder is absent.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(str(path), "is no picture by its name", "end it in .png or .svg")
    check_file_place(path)


def save_picture(figure: "Figure", path: Path, description: str = "") -> None:
    """Save a figure atomically, with a text alternative."""
    write_bytes(path, encode_figure(figure, path.suffix, description))


def make_picture_folder(folder: Path) -> None:
    """Make a folder for pictures if there is none.

    Raises:
        ConfigError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(str(folder), f"cannot be made ({error.strerror})", "choose another folder") from error
