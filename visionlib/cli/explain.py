"""`visionlib explain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import (
    DebugOption,
    DeviceOption,
    JsonOption,
    MovedDatasetOption,
    RunArgument,
    TrustOption,
    parse_index,
)
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.errors import ConfigError
from visionlib.runs import open_run

if TYPE_CHECKING:
    from visionlib.explanation import Explanation

_DRAWN = 12


def explain(
    run: RunArgument,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Method; can be repeated. Default: layercam-fused. `--method list` lists all."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            help="Layers to use instead of the method's own choice: layer3,layer4. Can be repeated: maps of each."
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Class to explain: predicted, true, or a name; can be repeated. Default: predicted and true."
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(help="Test images to explain, by index: 3,14,15. Default: the worst mistakes, others by seed."),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Number of test images to explain, without --of.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the image selection and of the randomized weights.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(help=f"Draw the maps of the first {_DRAWN} images, as PNG or SVG by the name.")
    ] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Interpolate the maps in the picture instead of showing their cells.")
    ] = False,
    quality: Annotated[
        bool, typer.Option("--quality", help="Measure the reliability of the maps, of all methods or those named.")
    ] = False,
    quality_n: Annotated[int, typer.Option(min=1, help="Number of test images for --quality.")] = 200,
    dataset: MovedDatasetOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Map the evidence for a class in test images of a run, keep the maps in the run, and measure their reliability.

    Example: visionlib explain runs/first --picture maps.png --quality
    """
    from visionlib.cli.source_column import find_source_folder
    from visionlib.explanation import DEFAULT_METHOD, METHODS, explain_run
    from visionlib.explanation.explain import TARGETS

    methods = method or []
    if "list" in methods:
        for name, entry in METHODS.items():
            typer.echo(f"{name:<22} {entry.description}")
        return
    for name in methods:
        if name not in METHODS:
            raise ConfigError(f"--method {name}", "there is no such method", f"known are: {', '.join(METHODS)}")
    if picture is not None:
        check_picture_path(picture)
    index = parse_index(of)
    opened = open_run(run)
    groups = [[name.strip() for name in group.split(",")] for group in layers] if layers else [None]
    explanations = explain_run(
        opened,
        [(name, group) for name in methods or [DEFAULT_METHOD] for group in groups],
        target or TARGETS,
        index=index,
        n=n,
        seed=seed,
        dataset=dataset,
        device=device,
    )
    result: dict[str, Any] = {"run": str(run), "kept": str(opened.explanations)}
    result["source_folder"] = find_source_folder(opened, dataset)
    result["explanations"] = [explanation.to_dict() for explanation in explanations]
    if picture is not None:
        _draw(explanations, picture, is_smooth=smooth)
    map_quality = None
    if quality:
        from visionlib.explanation.quality import measure_run_quality

        map_quality = measure_run_quality(
            opened, methods=methods or None, n=quality_n, seed=seed, dataset=dataset, device=device
        )
        result["quality"] = map_quality.to_dict()
    if json:
        print_json(result)
        return
    from visionlib.cli.explanation_tables import tabulate_explanations, tabulate_quality
    from visionlib.cli.tables import print_tables

    print_tables(*tabulate_explanations(explanations, opened), *(tabulate_quality(map_quality) if map_quality else ()))


def _draw(explanations: "list[Explanation]", picture: Path, *, is_smooth: bool) -> None:
    from visionlib.explanation.explanation_picture import describe_explanations, draw_explanations

    labels = explanations[0].labels
    assert labels is not None
    # Mistakes first: there the predicted and the true class differ.
    order = (explanations[0].predictions == labels).long().argsort(stable=True)[:_DRAWN]
    drawn = [explanation.take(order) for explanation in explanations]
    save_picture(draw_explanations(drawn, is_smooth=is_smooth), picture, describe_explanations(drawn))
    log(f"drawn: {picture}")
