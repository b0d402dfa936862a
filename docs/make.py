"""Make the generated parts of docs/ anew: the commands page out of the commands themselves, the site, and the pictures.

make docs       # the commands page and the site, in seconds
make pictures   # the pictures that need no run and no data from elsewhere, in some minutes

The pictures of docs/mistakes.md are made from two finished runs: python docs/make.py mistakes RUN RUN

The pictures of docs/evaluation.md are made from two finished runs, the second one with images held out of its training:
python docs/make.py measures RUN RUN

Those of docs/embeddings.md and docs/inspection.md from a run on CIFAR-10 and, if it has moved, its data:
python docs/make.py inspection RUN [DATASET]

Those of docs/report.md from a run on CIFAR-10, whose page is written anew; in headless Chromium:
python docs/make.py report RUN [DATASET]

The demo alone, whose figures stand in README.md and docs/results.md: python docs/make.py demo

What commands print on a terminal, alone: python docs/make.py terminals

The one of docs/stress.md from CIFAR-10: python docs/make.py corruptions DATASET

Those of docs/explanations.md from a run, with a name for the file: python docs/make.py explanations RUN NAME [DATASET]
"""

import datetime
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer.main

from visionlib.cli.app import app

if TYPE_CHECKING:
    from visionlib.evaluation import Evaluation
    from visionlib.runs import Run

DOCS = Path(__file__).parent


def commands_page() -> str:
    """Describe every command, with its example and its options, in Markdown."""
    group = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "This page is made from the commands' own help by `make docs`.",
        "`DATASET` is a name or a path, see [data.md](data.md);",
        "`RUN` is a folder that `visionlib train` or `visionlib import` has made,",
        "see [runs.md](runs.md).",
        "",
        "Every command takes `--json` (the result alone on stdout, messages on stderr) and `--debug` (the traceback of",
        "an error), shows progress on a terminal and none in a pipe, honours `NO_COLOR`, and exits with 0 done,",
        "1 it failed, 2 wrong usage, 130 or 143 on a signal. An error is one line on stderr.",
    ]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        lines += ["", f"## visionlib {name}", "", *_describe(command.help)]
        lines += ["", "| argument or option | what it is |", "|---|---|"]
        lines += [f"| `{_spell(option)}` | {_explain(option)} |" for option in command.params]
    return "\n".join(lines) + "\n"


def _describe(help_text: str) -> list[str]:
    purpose, _, example = help_text.partition("Example: ")
    return [" ".join(purpose.split()), "", f"    {example.strip()}"]


def _spell(option: object) -> str:
    if not option.opts[0].startswith("-"):  # type: ignore[attr-defined]
        return option.name.upper()  # type: ignore[attr-defined, no-any-return]
    return "`, `".join([*option.opts, *option.secondary_opts])  # type: ignore[attr-defined]


def _explain(option: object) -> str:
    return " ".join((option.help or "").replace("|", "\\|").split())  # type: ignore[attr-defined]


def draw_shapes_sheet(path: Path) -> None:
    """Draw twelve images of every class of `shapes`, and in the row below each class where its objects are."""
    import torch
    from PIL import Image

    from visionlib.data.shapes import draw_shapes

    split = draw_shapes(1000)
    assert split.masks is not None
    rows = []
    for label in range(len(split.classes)):
        chosen = (split.labels == label).nonzero().flatten()[:12]
        masks = split.masks[chosen, None].expand(-1, 3, -1, -1).to(torch.uint8) * 255
        rows += [torch.cat(list(pictures), dim=2) for pictures in (split.images[chosen], masks)]
    sheet = Image.fromarray(torch.cat(rows, dim=1).permute(1, 2, 0).numpy())
    sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(path)


def draw_fields(folder: Path) -> None:
    """Draw the fields of ResNet-18 growing over an image, and one of its residual blocks."""
    from visionlib.cli.picture_files import save_picture
    from visionlib.data.shapes import draw_shapes
    from visionlib.models import build_model
    from visionlib.summary import summarize
    from visionlib.summary.field_plots import draw_block, draw_growth

    table = summarize(build_model("resnet18"), name="resnet18")
    save_picture(draw_growth(table, draw_shapes(1).images[0]), folder / "receptive-field.png")
    save_picture(draw_block(table, "layer2.0"), folder / "residual-block.png")


def draw_rate(path: Path) -> None:
    """Look for the learning rate of the demo's network, and keep the curve as a picture."""
    from visionlib import TrainConfig, find_learning_rate
    from visionlib.cli.picture_files import save_picture
    from visionlib.training.rate_picture import draw_rate_finding

    finding = find_learning_rate("shapes", TrainConfig(model="resnet20"))
    save_picture(draw_rate_finding(finding), path)


def draw_demo(folder: Path) -> None:
    """Run the demo; keep what it prints as a picture, its figures in the documents, and what its network looks at."""
    from terminal import record_command

    from visionlib import evaluate, open_run
    from visionlib.cli.picture_files import save_picture
    from visionlib.evaluation import measure_effective_fields
    from visionlib.summary.field_plots import draw_effective

    with tempfile.TemporaryDirectory() as place:
        command = "visionlib demo --out runs/demo"
        record_command(command, folder / "demo.svg", place=Path(place), keep=(12, 52))
        run = open_run(Path(place) / "runs" / "demo")
        fields = measure_effective_fields(run)
        write_demo_figures(run, evaluate(run))
    titled = [("before training", fields.before), ("after training", fields.after)]
    save_picture(draw_effective(titled, fields.image), folder / "effective-field.png")


def draw_terminals(folder: Path) -> None:
    """Draw what the commands of docs/start.md print on a small folder of drawn pictures, and a layer table."""
    from terminal import record_command, write_photographs

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_photographs(place / "photographs", train=60, test=20)
        train = "visionlib train photographs --out runs/first --max-seconds 120"
        record_command(train, folder / "train.svg", place=place, keep=(14, 6))
        record_command("visionlib test runs/first", folder / "test.svg", place=place)
        predict = "visionlib predict runs/first photographs --top 2"
        record_command(predict, folder / "predict.svg", place=place, keep=(10, 5))
        record_command("visionlib summary resnet18 --depth 2", folder / "summary.svg", place=place, keep=(30, 0))


def draw_intervals(path: Path) -> None:
    """Draw the interval of an accuracy of 80 % for growing numbers of test images."""
    from matplotlib.figure import Figure

    from visionlib.cli.picture_files import save_picture
    from visionlib.drawing.palette import MAIN
    from visionlib.evaluation.intervals import wilson_interval

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    counts = (25, 100, 400, 1600, 10_000)
    for row, n in enumerate(counts):
        interval = wilson_interval(4 * n // 5, n)
        assert interval is not None
        low, high = (100 * bound for bound in interval)
        axes.plot((low, high), (row, row), color=MAIN, lw=3)
        axes.plot(80, row, "o", color=MAIN)
        axes.text(high + 0.8, row, f"{low:.1f} to {high:.1f}", va="center", fontsize=9)
    axes.set_yticks(range(len(counts)), [f"{n:,}" for n in counts])
    axes.invert_yaxis()
    axes.set_xlim(55, 100)
    axes.set_xlabel("accuracy of 80 %, and its 95 % interval")
    axes.set_ylabel("test images")
    axes.grid(axis="x", color="0.92")
    save_picture(figure, path, "The interval of an accuracy of 80 % shrinks as the number of test images grows.")


def write_demo_figures(run: "Run", evaluation: "Evaluation", root: Path = DOCS.parent) -> None:
    """Write the demo's accuracy, interval and seconds into the first rows of the tables in README and results.md."""
    from visionlib.runs import read_config, read_training

    accuracy, interval, mirrored = evaluation.accuracy, evaluation.confidence_interval, evaluation.mirror_accuracy
    assert accuracy is not None
    assert interval is not None
    assert mirrored is not None
    percent, low, high = f"{100 * accuracy:.2f}", f"{100 * interval[0]:.1f}", f"{100 * interval[1]:.1f}"
    training = read_training(run)
    assert training is not None
    seconds, n = f"{training.seconds_training:.0f} s", f"{evaluation.n:,}"
    hardware = read_config(run).compute.hardware
    device = next((name for name in ("EPYC", "Xeon") if name in hardware), hardware)
    today = datetime.datetime.now(tz=datetime.UTC).date()
    figures = (
        f"| 0 | {n} | **{percent}** ({low} to {high}) | | {100 * mirrored:.2f} | | {seconds} | {device} | {today} |"
    )
    rows = {"README.md": f"| {percent} %, {low} to {high} | {n} | {seconds} |", "docs/results.md": figures}
    for name, row in rows.items():
        before, found, after = re.split(
            r"^(\| `make demo`[^|]*).*$", (root / name).read_text("utf-8"), flags=re.MULTILINE
        )
        (root / name).write_text(before + found + row + after, encoding="utf-8")


def draw_errors(first: Path, second: Path, folder: Path) -> None:
    """Draw the mistakes of a run, and how another one on the same data differs from it, by classes and in images."""
    from visionlib.cli.picture_files import save_picture
    from visionlib.evaluation import compare_runs, find_mistakes, load_predictions
    from visionlib.evaluation.pictures.comparison import describe_comparison, draw_differences, draw_differing
    from visionlib.evaluation.pictures.mistakes import describe_mistakes, draw_mistakes

    kept = load_predictions(first)
    images = kept.load_images().images
    found = find_mistakes(kept.predictions, kept.labels, kept.record.classes, index=kept.index)
    save_picture(draw_mistakes(found, images, count=6), folder / "mistakes.png", describe_mistakes(found))
    comparison = compare_runs([first, second])
    description = describe_comparison(comparison)
    save_picture(draw_differences(comparison), folder / "comparison.png", description)
    save_picture(draw_differing(comparison, images, count=6), folder / "differing-images.png", description)


def draw_measures(run: Path, parted: Path, folder: Path) -> None:
    """Draw every picture of a run's evaluation, and what a temperature does to the probabilities of another run."""
    from visionlib.cli.picture_files import save_picture
    from visionlib.evaluation import evaluate
    from visionlib.evaluation.pictures.overview import PICTURES

    evaluation = evaluate(run)
    for name, (draw, describe) in PICTURES.items():
        save_picture(draw(evaluation), folder / f"{name}.png", describe(evaluation))
    evaluation = evaluate(parted)
    draw, describe = PICTURES["reliability"]
    save_picture(draw(evaluation), folder / "temperature.png", describe(evaluation))


def draw_inspection(run_folder: Path, folder: Path, dataset: str | None = None) -> None:
    """Draw the embedding map, the neighbours of the worst mistakes and the label candidates of a run on CIFAR-10."""
    names = {"--map": "embedding-map", "--neighbours": "neighbours", "--candidates": "candidates"}
    arguments = ["inspect", str(run_folder), "--of", "0,53,6762,9493"]
    arguments += ["--dataset", dataset] if dataset else []
    for option, name in names.items():
        arguments += [option, str(folder / f"{name}.png")]
    app(arguments, standalone_mode=False)
    shrink_picture(folder / f"{names['--map']}.png")


def draw_datasets(run_folder: Path, folder: Path, dataset: str | None = None) -> None:
    """Draw what CIFAR-10 and `shapes` hold, and the duplicates of CIFAR-10, with those that a run on it finds."""
    import dataclasses

    from visionlib import inspect_dataset, load_dataset, open_run
    from visionlib.cli.picture_files import save_picture
    from visionlib.inference.run_data import load_run_data
    from visionlib.inspection import draw_duplicates
    from visionlib.inspection.duplicate_picture import describe_duplicates
    from visionlib.inspection.overview_picture import describe_overview, draw_overview

    run = open_run(run_folder)
    cifar = dataclasses.replace(load_run_data(run, dataset), name="CIFAR-10 (JPEG copy)")
    for name, source in (("overview-cifar10", cifar), ("overview-shapes", load_dataset("shapes"))):
        inspection = inspect_dataset(source, per_class=10)
        figure = draw_overview(inspection, source.train.images)
        save_picture(figure, folder / f"{name}.png", describe_overview(inspection))
    found = inspect_dataset(cifar, duplicates="near", run=run).duplicates
    assert found is not None
    save_picture(draw_duplicates(found, cifar), folder / "duplicates.png", describe_duplicates(found))


def draw_explained(run_folder: Path, name: str, folder: Path, dataset: str | None = None) -> None:
    """Draw the default maps of a run's worst mistakes, for the class that it says and for the true one."""
    place = ["--dataset", dataset] if dataset else []
    picture = folder / f"explanations-{name}.png"
    app(["explain", str(run_folder), "--n", "100", "--picture", str(picture), *place], standalone_mode=False)
    shrink_picture(picture)


def draw_corruptions(path: Path, dataset: str) -> None:
    """Draw two test images under each corruption at strength 0 to 5."""
    import torch
    from matplotlib.figure import Figure

    from visionlib import load_dataset
    from visionlib.cli.picture_files import save_picture
    from visionlib.data.corruption import CORRUPTIONS, corrupt_images

    sample = load_dataset(dataset).test.subset(torch.tensor([0, 13]))
    figure = Figure(figsize=(8, 0.6 * len(CORRUPTIONS)), layout="constrained")
    rows = figure.subplots(len(CORRUPTIONS), 1)
    for axes, name in zip(rows, CORRUPTIONS, strict=True):
        strengths = [corrupt_images(sample.images, sample.index, name, strength) for strength in range(6)]
        strip = torch.cat([torch.cat([images[at] for images in strengths], 2) for at in range(len(sample))], 2)
        axes.imshow(strip.permute(1, 2, 0).numpy(), interpolation="nearest")
        axes.set_axis_off()
        axes.text(-4, strip.shape[1] / 2, name.replace("_", " "), ha="right", va="center", fontsize=8)
    save_picture(figure, path, "Two images under each of 19 corruptions at strength 0 to 5.")
    shrink_picture(path)


def draw_page(run_folder: Path, folder: Path, dataset: str | None = None) -> None:
    """Take pictures of the page of a run: its first screen, an image opened over the map, and a narrow dark screen."""
    from playwright.sync_api import sync_playwright

    from visionlib import open_run, write_report
    from visionlib.evaluation import find_mistakes, load_predictions

    run = open_run(run_folder)
    address = write_report(run, dataset=dataset).path.resolve().as_uri()
    kept = load_predictions(run)
    worst = int(find_mistakes(kept.predictions, kept.labels, kept.record.classes, index=kept.index).index[0])
    views = {
        "report": (1280, 860, "light", "", "header"),
        "report-map": (1280, 860, "light", f"#image={worst}&kind=all", "#map"),
        "report-dark": (400, 860, "dark", "", "#mistakes"),
    }
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        for name, (width, height, scheme, fragment, place) in views.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page.emulate_media(reduced_motion="reduce")
            page.goto(address + fragment)
            page.wait_for_selector("html[data-is-ready]", state="attached")
            page.locator(place).evaluate("section => section.scrollIntoView()")
            page.wait_for_timeout(300)
            page.screenshot(path=folder / f"{name}.png")
            page.close()
        browser.close()


def shrink_picture(path: Path) -> None:
    """Write a picture of few colours again with 256, which takes a third of the space; its description stays."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    description = PngInfo()
    with Image.open(path) as picture:
        description.add_text("Description", picture.info["Description"])
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True, pnginfo=description)


if __name__ == "__main__":
    if sys.argv[1:2] == ["mistakes"]:
        # From two runs on the same data, which take too long to be trained here.
        draw_errors(Path(sys.argv[2]), Path(sys.argv[3]), DOCS / "pictures")
        sys.exit()
    if sys.argv[1:2] == ["measures"]:
        draw_measures(Path(sys.argv[2]), Path(sys.argv[3]), DOCS / "pictures")
        sys.exit()
    if sys.argv[1:2] == ["inspection"]:
        draw_inspection(Path(sys.argv[2]), DOCS / "pictures", *sys.argv[3:4])
        draw_datasets(Path(sys.argv[2]), DOCS / "pictures", *sys.argv[3:4])
        sys.exit()
    if sys.argv[1:2] == ["report"]:
        draw_page(Path(sys.argv[2]), DOCS / "pictures", *sys.argv[3:4])
        sys.exit()
    if sys.argv[1:2] == ["demo"]:
        draw_demo(DOCS / "pictures")
        sys.exit()
    if sys.argv[1:2] == ["terminals"]:
        draw_terminals(DOCS / "pictures")
        sys.exit()
    if sys.argv[1:2] == ["corruptions"]:
        draw_corruptions(DOCS / "pictures" / "corruptions.png", sys.argv[2])
        sys.exit()
    if sys.argv[1:2] == ["explanations"]:
        draw_explained(Path(sys.argv[2]), sys.argv[3], DOCS / "pictures", *sys.argv[4:5])
        sys.exit()
    if sys.argv[1:2] == ["pictures"]:
        draw_shapes_sheet(DOCS / "pictures" / "shapes.png")
        draw_fields(DOCS / "pictures")
        draw_rate(DOCS / "pictures" / "rate-finder.png")
        draw_intervals(DOCS / "pictures" / "intervals.png")
        draw_terminals(DOCS / "pictures")
        draw_demo(DOCS / "pictures")
        sys.exit()
    from site_build import build_site

    (DOCS / "commands.md").write_text(commands_page(), encoding="utf-8")
    build_site(DOCS.parent)
