"""Pictures of a terminal: a command is run, and what it prints becomes an SVG."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COLUMNS = 80
_HOME = "/home/you"
"""Stands in the pictures for the folder that the commands ran in."""


def record_command(command: str, path: Path, *, place: Path, keep: tuple[int, int] | None = None) -> None:
    """Run a command in a folder, as on a terminal of 80 columns with colours, and draw what it prints.

    Args:
        command: `visionlib ...`.
        path: the SVG to write.
        place: the folder to run it in.
        keep: the number of lines to show from the beginning and from the end; by default all.

    Raises:
        subprocess.CalledProcessError: if the command fails.
    """
    program, *arguments = shlex.split(command)
    assert program == "visionlib"
    variables = {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "visionlib", *arguments],
        cwd=place,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    lines = done.stdout.replace(str(place.resolve()), _HOME).splitlines()
    path.write_text(draw_terminal(command, shorten_lines(lines, keep)), encoding="utf-8")


def shorten_lines(lines: Sequence[str], keep: tuple[int, int] | None) -> list[str]:
    """Leave out the middle of some lines, with the number of those that are missing."""
    if keep is None or len(lines) <= sum(keep) + 1:
        return list(lines)
    first, last = keep
    return [*lines[:first], f"... {len(lines) - first - last} lines ...", *lines[len(lines) - last :]]


def draw_terminal(command: str, lines: Sequence[str]) -> str:
    """Draw a terminal with a command and what it printed, with ANSI colours, as an SVG without fonts from elsewhere."""
    from rich.console import Console
    from rich.text import Text

    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text(f"$ {command}", style="bold"))
        console.print(Text.from_ansi("\n".join(line.rstrip() for line in lines)))
        picture = console.export_svg(title=" ".join(command.split()[:2]))
    # Without the fonts that rich would have fetched: the reader's own will do, and offline is offline.
    return re.sub(r"@font-face {.*?}", "", picture, flags=re.DOTALL)


def write_photographs(folder: Path, *, train: int, test: int) -> None:
    """Write drawn shapes of three classes as JPEG files of several sizes, in the folders of splits and classes.

    Args:
        folder: becomes `folder/train/CLASS/IMG_000.jpg` and `folder/test/...`.
        train: number of training pictures of each class.
        test: number of test pictures of each class.
    """
    from PIL import Image

    from visionlib.data.shapes import draw_shapes

    split = draw_shapes(20 * (train + test))
    for label in range(3):
        chosen = (split.labels == label).nonzero().flatten()[: train + test]
        for number, position in enumerate(chosen.tolist()):
            part, name = ("train", number) if number < train else ("test", number - train)
            path = folder / part / split.classes[label] / f"IMG_{name:03}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            side = (96, 120, 160)[number % 3]
            picture = Image.fromarray(split.images[position].permute(1, 2, 0).numpy())
            picture.resize((side + 24, side), Image.Resampling.BICUBIC).save(path, quality=90)
