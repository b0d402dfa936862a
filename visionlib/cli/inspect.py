"""`visionlib inspect`."""

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
from visionlib.runs import Run, check_file_place, open_run, write_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from visionlib.data import Dataset, ImageSplit
    from visionlib.inspection import LabelCandidates

_WORST = 6
_FURTHER_OPTIONS = """\
also:
  --map FILE          draw the map
  --neighbours FILE   draw the nearest training images of the worst mistakes, or of the images named with --of
  --candidates FILE   list (.csv) or draw doubtful labels of the test split; with --folds 5 of the training split"""


def inspect(
    run: RunArgument,
    map_file: Annotated[
        Path | None, typer.Option("--map", help="Draw the embedding map, as PNG or SVG by the name.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the map. Default: test.")] = None,
    neighbours: Annotated[
        Path | None,
        typer.Option(help="Draw test images with their nearest training images, as PNG or SVG by the name."),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(help="Test images whose neighbours are shown, by index: 3,14,15. Default: the worst mistakes."),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Nearest training images of each test image.")] = 5,
    candidates: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write candidates for wrong labels: all as a table (.csv), or the first 25 as a picture (.png, .svg). "
            "Can be repeated."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, help="Find candidates in the training split by this many folds; a network is trained for each."
        ),
    ] = None,
    fold_repeats: Annotated[
        int, typer.Option(min=1, help="Times that this is done, each by another seed; probabilities are averaged.")
    ] = 1,
    fold_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each of these trainings. Default: those of the run.")
    ] = None,
    dataset: MovedDatasetOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Inspect a run's data by its network: an embedding map, nearest training images, candidates for wrong labels.

    Without an option it computes the map and keeps it in the run.

    Example: visionlib inspect runs/first --map map.png --neighbours alike.png --candidates labels.csv
    """
    files = candidates or []
    index = parse_index(of)
    _check_files(map_file, neighbours, files)
    for name, is_given in (("--fold-epochs", fold_epochs is not None), ("--fold-repeats", fold_repeats > 1)):
        if is_given and folds is None:
            raise ConfigError(name, "there are no folds", "say how many with --folds")
    opened = open_run(run)
    is_about_candidates = bool(files) or folds is not None
    is_about_neighbours = neighbours is not None or index is not None
    if is_about_candidates:
        from visionlib.inspection.candidates import check_cleanlab

        check_cleanlab()
    source = _Source(opened, dataset)
    from visionlib.cli.source_column import find_source_folder

    result: dict[str, Any] = {"run": str(run), "source_folder": find_source_folder(opened, dataset)}
    is_about_map = map_file is not None or split is not None or not (is_about_candidates or is_about_neighbours)
    if is_about_map:
        result["map"] = _make_map(source, split or "test", map_file, device)
    if is_about_neighbours:
        result["neighbours"] = _make_neighbours(source, index, k, neighbours, device)
    if is_about_candidates:
        result["candidates"] = _make_candidates(source, folds, fold_repeats, fold_epochs, files, device)
    if json:
        print_json(result)
        return
    from visionlib.cli.inspection_tables import tabulate_inspection
    from visionlib.cli.tables import print_tables

    print_tables(*tabulate_inspection(result))
    if not (files or map_file or is_about_neighbours or is_about_candidates):
        typer.echo(_FURTHER_OPTIONS)


class _Source:
    """A run and its dataset, which is loaded on first use, and once at most."""

    def __init__(self, run: Run, path: str | None) -> None:
        self.run, self._path = run, path
        self._loaded: Dataset | None = None

    def load(self) -> "Dataset":
        from visionlib.inference.run_data import load_run_data

        if self._loaded is None:
            self._loaded = load_run_data(self.run, self._path)
        return self._loaded

    @property
    def dataset(self) -> "str | Dataset | None":
        """The `dataset` argument for functions that may not need the data."""
        return self._loaded or self._path


def _make_map(source: _Source, split: str, file: Path | None, device: str) -> dict[str, Any]:
    from visionlib.inspection import map_embeddings

    embedding_map = map_embeddings(source.run, split, dataset=source.dataset, device=device)
    if file is not None:
        from visionlib.inspection.map_picture import describe_map, draw_map

        save_picture(draw_map(embedding_map), file, describe_map(embedding_map))
        log(f"drawn: {file}")
    return {**embedding_map.to_dict(), "kept": str(source.run.inspection / f"map-{split}.npz")}


def _make_neighbours(
    source: _Source, index: tuple[int, ...] | None, k: int, file: Path | None, device: str
) -> dict[str, Any]:
    from visionlib.inspection import find_neighbours, score_test

    if file is not None:
        source.load()
    neighbours = find_neighbours(source.run, k, dataset=source.dataset, device=device)
    selected = neighbours.select(index if index is not None else score_test(source.run).find_worst(_WORST))
    if file is not None:
        from visionlib.inspection.neighbour_picture import describe_neighbours, draw_neighbours

        data = source.load()
        images = data.test.images[_find_positions(data.test, selected.index)]
        figure = draw_neighbours(selected, images, data.train.images[selected.positions])
        save_picture(figure, file, describe_neighbours(selected))
        log(f"drawn: {file}")
    return {**neighbours.to_dict(), "images": selected.to_rows()}


def _make_candidates(
    source: _Source, folds: int | None, repeats: int, epochs: int | None, files: list[Path], device: str
) -> dict[str, Any]:
    from visionlib.inspection import cross_validate, find_candidates, score_test, tabulate_candidates

    if folds is None:
        scored = score_test(source.run)
    else:
        data = source.load()
        scored = cross_validate(source.run, folds, repeats=repeats, epochs=epochs, dataset=data, device=device, log=log)
    candidates = find_candidates(scored)
    candidates.save(source.run)
    for file in files:
        if file.suffix.lower() == ".csv":
            write_bytes(file, tabulate_candidates(candidates).encode("utf-8", "backslashreplace"))
            log(f"written: {file}")
        elif len(candidates):
            _draw_candidates(source.load(), candidates, file)
        else:
            log(f"{file}: there is no candidate to draw")
    return {**candidates.to_dict(), "images": candidates.to_rows()}


def _draw_candidates(data: "Dataset", candidates: "LabelCandidates", file: Path) -> None:
    from visionlib.inspection.candidate_picture import MOST_SHOWN, describe_candidates, draw_candidates

    split = data.split(candidates.split)
    images = split.images[_find_positions(split, candidates.index[:MOST_SHOWN])]
    save_picture(draw_candidates(candidates, images), file, describe_candidates(candidates, len(images)))
    log(f"drawn: {file}")


def _find_positions(split: "ImageSplit", index: "Tensor") -> list[int]:
    """Look up the positions of images by their stable ids."""
    positions = {image_id: position for position, image_id in enumerate(split.index.tolist())}
    return [positions[image_id] for image_id in index.tolist()]


def _check_files(map_file: Path | None, neighbours: Path | None, candidates: list[Path]) -> None:
    """Refuse, before anything is computed, files that cannot be written."""
    for file in (map_file, neighbours):
        if file is not None:
            check_picture_path(file)
    for file in candidates:
        if file.suffix.lower() not in (".csv", ".png", ".svg"):
            raise ConfigError(str(file), "is neither a table nor a picture by its name", "end it in .csv, .png or .svg")
        check_file_place(file)
