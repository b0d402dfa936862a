"""`visionlib export`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, JsonOption, MovedDatasetOption, TrustOption
from visionlib.errors import ConfigError
from visionlib.runs.files import check_new_file

Target = Literal["onnx", "hub", "pt2", "page"]


def export(
    run: Annotated[str, typer.Argument(help="A run folder, a hub folder, or the name of pretrained weights.")],
    to: Annotated[
        Target,
        typer.Option(
            help="onnx: one file for ONNX Runtime; hub: a folder for the Hugging Face hub; pt2: torch.export; "
            "page: one HTML file that classifies pictures."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write; for hub, the folder.")],
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(
            help="Of the weights: fp16 halves the file; int8, of ONNX alone, quarters it. Of both, the "
            "accuracy of the ONNX file is measured on the test images."
        ),
    ] = "fp32",
    dataset: MovedDatasetOption = None,
    licence: Annotated[
        str, typer.Option("--licence", "--license", help="Licence of the weights, such as mit; for metadata and card.")
    ] = "unknown",
    force: Annotated[bool, typer.Option("--force", help="Replace what exists.")] = False,
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a trained network with all of its preprocessing for other programs, which then answer as it does.

    Example: visionlib export runs/first --to onnx --out first.onnx
    """
    if precision != "fp32" and (to == "pt2" or (to, precision) == ("page", "int8")):
        raise ConfigError("--precision", f"{precision} is none of --to {to}", "leave it out")
    result, lines = _export(run, to, out, precision=precision, dataset=dataset, licence=licence, force=force)
    if json:
        print_json({"run": run, "to": to, **result})
        return
    for line in lines:
        typer.echo(line)


def _export(
    run: str,
    to: Target,
    out: Path,
    *,
    precision: Literal["fp32", "fp16", "int8"],
    dataset: str | None,
    licence: str,
    force: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Return the result for JSON, and the lines that tell it."""
    from visionlib.export.onnx_file import export_onnx
    from visionlib.export.source import open_source

    if to == "hub":
        from visionlib.export.hub import export_hub

        hub = export_hub(run, out, precision=precision, dataset=dataset, licence=licence, force=force, log=log)
        return hub.to_dict(), [f"{out}: {', '.join(hub.files)}", *_tell_agreement(hub.onnx)]
    check_new_file(out, force=force)
    source = open_source(run)
    if to == "onnx":
        data = None if precision == "fp32" else source.load_data(dataset)
        onnx = export_onnx(source.model, out, precision=precision, dataset=data, licence=licence, force=force, log=log)
        return onnx.to_dict(), [_tell_size(out), *_tell_agreement(onnx)]
    if to == "pt2":
        from visionlib.export.program import export_program

        export_program(source.model, out, force=force)
    else:
        from visionlib.export.page import export_page

        evaluation = source.read_evaluation()
        weights: Literal["fp32", "fp16"] = "fp16" if precision == "fp16" else "fp32"
        export_page(source.model, out, precision=weights, evaluation=evaluation, force=force)
    return {"path": str(out), "size_bytes": out.stat().st_size}, [_tell_size(out)]


def _tell_size(out: Path) -> str:
    return f"{out}: {out.stat().st_size / 1e6:.2f} MB"


def _tell_agreement(onnx: Any) -> list[str]:
    pictures = f"{onnx.checked} drawn pictures of several sizes"
    difference = f"{onnx.largest_difference:.1g}"
    lines = [f"  largest difference of a probability to the network in fp32: {difference}, on {pictures}"]
    if onnx.accuracy is not None:
        lines.append(
            f"  accuracy {onnx.accuracy:.2%} of {onnx.n:,} test images, the network's {onnx.network_accuracy:.2%}; "
            f"{onnx.same_class:.2%} get the same class"
        )
    return lines
