"""`visionlib summary`."""

import contextlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, JsonOption, TrustOption
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.errors import ConfigError
from visionlib.models.names import MODEL_NAMES
from visionlib.models.pretrained import find_pretrained, is_pretrained
from visionlib.runs import Run, open_run, write_json
from visionlib.summary.record import Method, ModelSummary

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from visionlib.evaluation import EffectiveFields
    from visionlib.summary.verify import Verification

Format: TypeAlias = Literal["text", "markdown", "json", "html"]
_DEFAULT_SIZE = (3, 32, 32)
_MOST_NUMBERS = 4
"""Channels, depth, height and width."""


def summary(
    model: Annotated[
        str,
        typer.Argument(
            help=f"A built-in network ({', '.join(MODEL_NAMES)}), "
            "a user-defined one as package.module:NAME or file.py:NAME, "
            "a run folder, or the name of pretrained weights."
        ),
    ],
    input_size: Annotated[
        str | None,
        typer.Option(
            help="Size of one image: channels, height, width as 3,32,32 or 3x32x32; 224 is 224 x 224 pixels. "
            "Default: 3,32,32, or the run's own.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Number of classes. Default: 10, or the run's own.", show_default=False)
    ] = None,
    receptive_field: Annotated[
        Method,
        typer.Option(
            help="Convention of receptive fields: exact, or hook-order as in 2020, wrong where branches join."
        ),
    ] = "exact",
    depth: Annotated[
        int | None,
        typer.Option(min=0, help="Show rows down to this depth, with sums over deeper ones; JSON has all rows."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in the batch, for MACs and memory.")] = 1,
    output_format: Annotated[Format, typer.Option("--format", help="Output format of the table.")] = "text",
    is_to_verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Compare the exact receptive fields with gradients of the model; exit 1 if they differ."
        ),
    ] = False,
    effective: Annotated[
        bool,
        typer.Option(
            "--effective", help="Measure the effective receptive field of a run's layer, before and after training."
        ),
    ] = False,
    layer: Annotated[
        str | None,
        typer.Option(help="Layer to measure with --effective.", show_default="the last one with height and width"),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Test images to average over with --effective.")] = 200,
    dataset: Annotated[
        str | None, typer.Option(help="Path of the run's data, if it has moved; for --effective.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Save a plot of the receptive fields, with --effective of the effective ones; PNG or SVG by name."
        ),
    ] = None,
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the layers of a network: shapes, parameters, MACs and receptive fields.

    Example: visionlib summary resnet18 --input-size 3,32,32
    """
    output_format = _choose_format(output_format, is_json=json)
    if receptive_field == "hook-order":
        _refuse_with_hook_order(depth, is_to_verify=is_to_verify)
    if plot is not None:
        check_picture_path(plot)
    if effective and not _is_run(model):
        raise ConfigError("--effective", f"{model} is no run folder", "name one that visionlib train has made")
    size = None if input_size is None else _parse_size(input_size)

    from visionlib.evaluation import measure_effective_fields
    from visionlib.summary import summarize
    from visionlib.summary.verify import verify

    subject = _build_subject(model, size, classes)
    table = summarize(
        subject.network, subject.input_size, method=receptive_field, batch_size=batch_size, name=subject.name
    )
    if subject.run is not None and input_size is None and receptive_field == "exact" and batch_size == 1:
        # For the report page. The run may be read-only.
        with contextlib.suppress(OSError):
            write_json(subject.run.summary, table.to_dict())
    verification = verify(subject.network, subject.input_size) if is_to_verify else None
    fields = measure_effective_fields(model, n=images, layer=layer, dataset=dataset) if effective else None
    if plot is not None:
        save_picture(_draw(table, fields), plot)
        log(f"picture: {plot}")
    if output_format == "json":
        verified = None if verification is None else verification.mismatch is None
        print_json({**table.to_dict(), "verified": verified, "effective": None if fields is None else fields.to_dict()})
    else:
        _print(table, output_format, depth)
    _print_more(verification, fields, is_text=output_format == "text")
    if verification is not None and verification.mismatch is not None:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Subject:
    """A network, its name, the size of its input, and its run."""

    name: str
    network: "nn.Module"
    input_size: tuple[int, ...]
    run: Run | None = None


def _build_subject(model: str, size: tuple[int, ...] | None, classes: int | None) -> _Subject:
    """Build a network by its name, or that of a run.

    Raises:
        ConfigError: if the number of classes or channels contradicts the run's own.
        ModelError: if there is no such model, or it cannot be built.
        RunError: if the run folder is damaged or unfinished.
    """
    from visionlib.models import build_model

    if _is_run(model):
        return _build_from_run(open_run(Path(model)), size, classes)
    if is_pretrained(model):
        subject = _build_from_run(Run(find_pretrained(model)), size, classes)
        return replace(subject, run=None)  # nothing is written into the package
    size = _complete(size, channels=_DEFAULT_SIZE[0]) if size else _DEFAULT_SIZE
    return _Subject(model, build_model(model, classes=classes or 10, channels=size[0]), size)


def _is_run(model: str) -> bool:
    return model not in MODEL_NAMES and ":" not in model and ("/" in model or Path(model).is_dir())


def _draw(table: ModelSummary, fields: "EffectiveFields | None") -> "Figure":
    from visionlib.data.shapes import draw_shapes
    from visionlib.summary.field_plots import draw_effective, draw_growth

    if fields is not None:
        return draw_effective([("before training", fields.before), ("after training", fields.after)], fields.image)
    channels, *sides = table.input_size
    is_square = len(sides) == 2 and sides[0] == sides[1] >= 16 and channels == 3
    return draw_growth(table, draw_shapes(1, image_size=sides[0]).images[0] if is_square else None)


def _build_from_run(run: Run, size: tuple[int, ...] | None, classes: int | None) -> _Subject:
    from visionlib.models import build_model
    from visionlib.models.model_record import load_record
    from visionlib.models.user_model import refuse_strange_code

    record = load_record(run)
    if classes not in (None, len(record.classes)):
        problem = f"{classes} contradicts the run, which has {len(record.classes)} classes"
        raise ConfigError("--classes", problem, "leave it out, or name the network instead of the run")
    size = _complete(size, channels=record.channels) if size else (record.channels, *record.input_size)
    if size[0] != record.channels:
        problem = f"{size[0]} channels contradict the run, whose images have {record.channels}"
        raise ConfigError("--input-size", problem, "give the run's channels, or name the network instead of the run")
    refuse_strange_code(run, record.model)
    network = build_model(record.model, classes=len(record.classes), channels=record.channels)
    return _Subject(record.model, network, size, run)


def _parse_size(text: str) -> tuple[int, ...]:
    """Parse the size of an image; a single number is height and width.

    Raises:
        ConfigError: if it is no size.
    """
    parts = [part.strip() for part in re.split(r"[,x]", text)]
    if not all(re.fullmatch(r"[1-9][0-9]{0,4}", part, re.ASCII) for part in parts) or len(parts) > _MOST_NUMBERS:
        raise ConfigError("--input-size", f"{text!r} is no size of an image", "write it like 3,32,32 or 3x32x32 or 224")
    return tuple(map(int, parts))


def _complete(size: tuple[int, ...], *, channels: int) -> tuple[int, ...]:
    return (channels, *size, *size) if len(size) == 1 else size


def _choose_format(output_format: Format, *, is_json: bool) -> Format:
    if is_json and output_format in ("markdown", "html"):
        raise ConfigError("--format", f"{output_format} contradicts --json", "leave one of them out")
    return "json" if is_json else output_format


def _refuse_with_hook_order(depth: int | None, *, is_to_verify: bool) -> None:
    if depth is not None:
        raise ConfigError("--depth", "does not go with hook order, whose rows are not nested", "leave one of them out")
    if is_to_verify:
        raise ConfigError("--verify", "hook order is no more than a convention", "verify the exact table")


def _print(table: ModelSummary, output_format: Format, depth: int | None) -> None:
    if output_format == "markdown":
        from visionlib.summary.render_markdown import to_markdown

        typer.echo(to_markdown(table, depth))
    elif output_format == "html":
        from visionlib.summary.render_html import to_html

        typer.echo(to_html(table, depth))
    else:
        _print_text(table, depth)


def _print_more(verification: "Verification | None", fields: "EffectiveFields | None", *, is_text: bool) -> None:
    """Print verification and effective field; beside machine-readable output the verification goes to stderr."""
    from visionlib.cli.tables import print_tables, tabulate_effective

    if fields is not None and is_text:
        print_tables(*tabulate_effective(fields.before, fields.after))
    if verification is not None and is_text:
        typer.echo(f"\n{verification}")
    elif verification is not None:
        log(str(verification))


def _print_text(table: ModelSummary, depth: int | None) -> None:
    """Print the table in the width of the terminal; in a pipe, in full width."""
    from rich.console import Console

    from visionlib.summary.render_text import to_plain_text, to_text

    console = Console()
    if not console.is_terminal:
        typer.echo(to_plain_text(table, depth))
        return
    for part in to_text(table, depth, width=console.width):
        # Uncropped: on a narrow terminal figures wrap to the next line.
        console.print(part, crop=False)
