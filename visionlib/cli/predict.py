"""`visionlib predict`."""

import io
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from visionlib.cli.console import log
from visionlib.cli.options import DebugOption, DeviceOption, JsonOption, TrustOption
from visionlib.cli.picture_files import make_picture_folder
from visionlib.cli.picture_sources import PictureCounter, PicturesArgument, list_sources
from visionlib.runs import check_file_place, write_bytes
from visionlib.runs.json_records import encode_json

if TYPE_CHECKING:
    import torch

    from visionlib.inference import PicturePrediction, TrainedModel

_TABLE_ROWS = 250
"""Files of one batch, and of one piece of the table: both are shown as soon as they are there."""


def predict(
    run: Annotated[str, typer.Argument(help="A run folder, a hub folder, or the name of pretrained weights.")],
    images: PicturesArgument,
    top: Annotated[int, typer.Option(min=1, help="Likeliest classes of each picture.")] = 5,
    csv: Annotated[Path | None, typer.Option(help="Write the answers as a CSV file, too.")] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Folder for activation maps over the pictures, as PNG; it is made if absent.")
    ] = None,
    precision: Annotated[
        Literal["fp32", "bf16"],
        typer.Option(help="fp32 gives the answers of an exported network; bf16 is faster on newer hardware."),
    ] = "fp32",
    device: DeviceOption = "auto",
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Classify pictures: the likeliest classes with calibrated probabilities, and whether a picture is unusual.

    Example: visionlib predict cifar10 holiday.jpg pictures/
    """
    if csv is not None:
        check_file_place(csv)
    if maps is not None:
        make_picture_folder(maps)

    from visionlib.inference import classify_files, load

    model = load(run, device=device, precision=precision)
    answers = classify_files(model, list_sources(images), k=top, batch_size=_TABLE_ROWS, has_images=maps is not None)
    seen = PictureCounter()
    answers = _watch(answers, seen)
    if maps is not None:
        answers = _save_maps(answers, model, maps)
    answers = _print_json(answers) if json else _print_table(answers, model)
    if csv is not None:
        _write_csv(answers, csv, top)
    for _ in answers:
        pass
    seen.end("to classify")


def _watch(answers: "Iterable[PicturePrediction]", seen: PictureCounter) -> "Iterator[PicturePrediction]":
    for answer in answers:
        seen.count(answer.error)
        yield answer


def _print_json(answers: "Iterable[PicturePrediction]") -> "Iterator[PicturePrediction]":
    """Print a list, object by object."""
    opening = "["
    for answer in answers:
        sys.stdout.write(f"{opening}\n{encode_json(answer.to_dict()).decode()}")
        opening = ","
        yield answer
    sys.stdout.write("[]\n" if opening == "[" else "\n]\n")
    sys.stdout.flush()


def _print_table(answers: "Iterable[PicturePrediction]", model: "TrainedModel") -> "Iterator[PicturePrediction]":
    from visionlib.cli.tables import print_tables, tabulate_answers

    is_first = True
    while chunk := list(itertools.islice(answers, _TABLE_ROWS)):
        if read := [answer for answer in chunk if answer.error is None]:
            print_tables(tabulate_answers(read, has_header=is_first))
            is_first = False
        yield from chunk
    if not is_first:
        log(_explain_figures(model))


def _explain_figures(model: "TrainedModel") -> str:
    """Say what the probabilities and the marks are, under the table."""
    from visionlib.evaluation.intervals import wilson_interval

    text = "probabilities: not calibrated, as no images were held out"
    if model.temperature:
        text = f"probabilities: calibrated on held-out images, temperature {model.temperature:.2f}"
    if model.novelty is not None:
        novelty, alarms = model.novelty, model.novelty.false_alarms
        text += f"\nunusual: no class fits well; so are {100 * alarms:g} % of {novelty.n:,} "
        if novelty.is_held_out:
            low, high = wilson_interval(round(alarms * novelty.n), novelty.n) or (0.0, 1.0)
            text += f"held-out images (of new ordinary ones {100 * low:.1f} to {100 * high:.1f} %)"
        else:
            text += "training images, and more of new ordinary ones"
    return text


def _write_csv(answers: "Iterable[PicturePrediction]", path: Path, top: int) -> None:
    from visionlib.evaluation.spreadsheet import write_csv

    columns = [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("class", "probability")]

    def row(answer: "PicturePrediction") -> list[str | float | bool | None]:
        cells = [cell for pair in answer.top for cell in pair]
        error = None if answer.error is None else str(answer.error)
        return [answer.file, *cells, *[None] * (len(columns) - len(cells)), answer.is_unusual, error]

    write_csv(path, ["file", *columns, "unusual", "error"], map(row, answers))


def _save_maps(
    answers: "Iterable[PicturePrediction]", model: "TrainedModel", folder: Path
) -> "Iterator[PicturePrediction]":
    """Save the map of each picture's likeliest class, under the picture's name; of equal names all but one numbered."""
    import torch

    from visionlib.explanation import explain
    from visionlib.explanation.overlay import overlay_maps

    taken: set[str] = set()
    while chunk := list(itertools.islice(answers, _TABLE_ROWS)):
        images = [answer.image for answer in chunk if answer.image is not None]
        pictures: Iterator[torch.Tensor] = iter(())
        if images:
            pixels = torch.stack(images)
            pictures = iter(overlay_maps(pixels, explain(model, pixels, target="predicted").scaled))
        for answer in chunk:
            if answer.image is not None:
                write_bytes(folder / _name_map(answer.file, taken), _encode_png(next(pictures)))
            yield answer


def _encode_png(picture: "torch.Tensor") -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(content, "PNG")
    return content.getvalue()


def _name_map(file: str, taken: set[str]) -> str:
    stem = Path(file).stem
    names = itertools.chain([f"{stem}.png"], (f"{stem}-{number}.png" for number in itertools.count(2)))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name
