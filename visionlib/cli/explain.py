"""`visionlib explain`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visionlib.cli.console import DebugOption, JsonOption, log, print_json
from visionlib.cli.inspect import parse_index
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.errors import ConfigError
from visionlib.runs import Run, open_run

if TYPE_CHECKING:
    from visionlib.data import Dataset, ImageSplit
    from visionlib.explanation import Explanation
    from visionlib.explanation.explain import Subject

_DRAWN = 12
TARGETS = ("predicted", "true")
"""Classes that are explained if none are named."""


def explain(
    run: Annotated[Path, typer.Argument(help="A run folder that `visionlib train` has made.")],
    method: Annotated[
        list[str] | None,
        typer.Option(help="How maps are made; can be repeated. Default: layercam-fused. `--method list` tells all."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            help="Layers to take instead of the method's own choice: layer3,layer4. Can be repeated: maps of each."
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Class to explain: predicted, true, or a name; can be repeated. Default: both the first."),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(help="Test images to explain, by index: 3,14,15. Default: the worst mistakes, others by seed."),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Test images to explain, if none are named.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Decides which images are taken, and the scrambling.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(help=f"Draw the maps of the first {_DRAWN} images, as PNG or SVG by the name.")
    ] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Interpolate the maps in the picture instead of showing their cells.")
    ] = False,
    quality: Annotated[
        bool, typer.Option("--quality", help="Measure whether the maps can be believed, of all methods or those named.")
    ] = False,
    quality_n: Annotated[int, typer.Option(min=1, help="Test images to measure that on.")] = 200,
    dataset: Annotated[
        str | None, typer.Option(help="Where the run's data lies now, if it has moved; it must be the same.")
    ] = None,
    device: Annotated[str, typer.Option(help="What to compute on: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Map where a run's network finds a class in test images, keep the maps in the run, and measure them on request.

    Example: visionlib explain runs/first --picture maps.png --quality
    """
    from visionlib.explanation.methods import DEFAULT_METHOD, METHODS

    methods = method or []
    if "list" in methods:
        for name, entry in METHODS.items():
            typer.echo(f"{name:<22} {entry.words}")
        return
    for name in methods:
        if name not in METHODS:
            raise ConfigError(f"--method {name}", "there is no such method", f"known are: {', '.join(METHODS)}")
    if picture is not None:
        check_picture_path(picture)
    index = parse_index(of)
    opened = open_run(run)
    groups = [[name.strip() for name in group.split(",")] for group in layers] if layers else [None]
    asked = [(name, group) for name in methods or [DEFAULT_METHOD] for group in groups]
    made = explain_images(opened, asked, target or TARGETS, index=index, n=n, seed=seed, dataset=dataset, device=device)
    result: dict[str, Any] = {"run": str(run), "kept": str(opened.explanations)}
    result["explanations"] = [one.to_dict() for one in made]
    if picture is not None:
        _draw(made, picture, is_smooth=smooth)
    measured = None
    if quality:
        from visionlib.explanation.quality import measure_run_quality

        measured = measure_run_quality(
            opened, methods=methods or None, n=quality_n, seed=seed, dataset=dataset, device=device
        )
        result["quality"] = measured.to_dict()
    if json:
        print_json(result)
        return
    from visionlib.cli.explanation_tables import tabulate_explanations, tabulate_quality
    from visionlib.cli.tables import print_tables

    print_tables(*tabulate_explanations(made, opened), *(tabulate_quality(measured) if measured else ()))


def explain_images(
    run: Run,
    asked: Sequence[tuple[str, list[str] | None]],
    targets: Sequence[str] = TARGETS,
    *,
    index: tuple[int, ...] | None = None,
    n: int,
    seed: int = 0,
    dataset: "str | Dataset | None",
    device: str,
) -> "list[Explanation]":
    """Make every map that is asked for, by method and layers, and keep them."""
    from visionlib.explanation.explain import explain_split, load_subject
    from visionlib.explanation.kept import save_explanations
    from visionlib.inference.run_data import load_run_data

    source = load_run_data(run, dataset)
    split, selection = _choose(run, source.test, index, n, seed)
    subject: Subject = load_subject(run, device=device)
    made = [
        explain_split(subject, split, method=name, layers=layers, target=target)
        for name, layers in asked
        for target in targets
    ]
    record = {
        "dataset": source.name,
        "content_hash": source.test.content_hash,
        "split": "test",
        "seed": seed,
        "selection": selection,
    }
    save_explanations(run, made, record)
    return made


def _choose(
    run: Run, split: "ImageSplit", index: tuple[int, ...] | None, n: int, seed: int
) -> "tuple[ImageSplit, str]":
    from visionlib.explanation.selection import select_images, take_by_index

    if index is not None:
        return take_by_index(split, list(index)), "images that were named"
    chosen = select_images(run, split, n, seed)
    if len(chosen) == len(split):
        return chosen, "all test images"
    return chosen, f"{len(chosen):,} test images: the worst mistakes, at most half of them, and others by seed {seed}"


def _draw(made: "list[Explanation]", picture: Path, *, is_smooth: bool) -> None:
    from visionlib.explanation.explanation_picture import describe_explanations, draw_explanations

    labels = made[0].labels
    assert labels is not None
    # Mistakes first: there predicted and true class differ.
    order = (made[0].predictions == labels).long().argsort(stable=True)[:_DRAWN]
    shown = [one.take(order) for one in made]
    save_picture(draw_explanations(shown, is_smooth=is_smooth), picture, describe_explanations(shown))
    log(f"drawn: {picture}")
