"""`visionlib inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visionlib.cli.console import DebugOption, JsonOption, log, print_json
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.errors import ConfigError
from visionlib.runs import Run, check_file_place, open_run, write_bytes

if TYPE_CHECKING:
    from visionlib.data import Dataset
    from visionlib.inspection import LabelCandidates, Neighbours

_WORST = 6
_ELSE = """\
also:
  --map FILE          draw the map
  --neighbours FILE   draw the nearest training images of the worst mistakes, or of the images named with --of
  --candidates FILE   list (.csv) or draw labels of the test split to look at; with --folds 5 of the training split"""


def inspect(
    run: Annotated[Path, typer.Argument(help="A run folder that `visionlib train` has made.")],
    map_file: Annotated[
        Path | None, typer.Option("--map", help="Draw the embedding map, as PNG or SVG by the name.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split that the map is of. Default: test.")] = None,
    neighbours: Annotated[
        Path | None,
        typer.Option(help="Draw test images with their nearest training images, as PNG or SVG by the name."),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(help="Test images to find neighbours of, by index: 3,14,15. Default: the worst mistakes."),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Nearest training images of each test image.")] = 5,
    candidates: Annotated[
        list[Path] | None,
        typer.Option(
            help="Write label candidates: a table (.csv), or a picture of the first 25 (.png, .svg). Can be repeated."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Candidates among the training images, by training this many networks anew."),
    ] = None,
    fold_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each of these networks. Default: as many as the run's.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Where the run's data lies now, if it has moved; it must be the same.")
    ] = None,
    device: Annotated[str, typer.Option(help="What to compute on: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Look at a run's data through its network: a map, nearest training images, and labels to look at.

    Without an option it makes the map and keeps it in the run.

    Example: visionlib inspect runs/first --map map.png --neighbours alike.png --candidates labels.csv
    """
    files = candidates or []
    index = parse_index(of)
    _check_files(map_file, neighbours, files)
    if fold_epochs is not None and folds is None:
        raise ConfigError("--fold-epochs", "there are no folds", "say how many with --folds")
    opened = open_run(run)
    is_about_candidates = bool(files) or folds is not None
    is_about_neighbours = neighbours is not None or index is not None
    if is_about_candidates:
        from visionlib.inspection.candidates import check_cleanlab

        check_cleanlab()
    source = _Source(opened, dataset)
    result: dict[str, Any] = {"run": str(run)}
    is_about_map = map_file is not None or split is not None or not (is_about_candidates or is_about_neighbours)
    if is_about_map:
        result["map"] = _make_map(source, split or "test", map_file, device)
    if is_about_neighbours:
        result["neighbours"] = _make_neighbours(source, index, k, neighbours, device)
    if is_about_candidates:
        result["candidates"] = _make_candidates(source, folds, fold_epochs, files, device)
    if json:
        print_json(result)
        return
    from visionlib.cli.inspection_tables import tabulate_inspection
    from visionlib.cli.tables import print_tables

    print_tables(*tabulate_inspection(result))
    if not (files or map_file or is_about_neighbours or is_about_candidates):
        typer.echo(_ELSE)


class _Source:
    """A run and its dataset, which is loaded when it is first needed, and then at most once."""

    def __init__(self, run: Run, dataset: str | None) -> None:
        self.run, self._place = run, dataset
        self._loaded: Dataset | None = None

    def load(self) -> "Dataset":
        from visionlib.inference.run_data import load_run_data

        if self._loaded is None:
            self._loaded = load_run_data(self.run, self._place)
        return self._loaded

    @property
    def place(self) -> "str | Dataset | None":
        """What functions that may need the dataset take."""
        return self._loaded or self._place


def _make_map(source: _Source, split: str, file: Path | None, device: str) -> dict[str, Any]:
    from visionlib.inspection import map_embeddings

    made = map_embeddings(source.run, split, dataset=source.place, device=device)
    if file is not None:
        from visionlib.inspection.map_picture import describe_map, draw_map

        save_picture(draw_map(made), file, describe_map(made))
        log(f"drawn: {file}")
    return {**made.to_dict(), "kept": str(source.run.inspection / f"map-{split}.npz")}


def _make_neighbours(
    source: _Source, index: tuple[int, ...] | None, k: int, file: Path | None, device: str
) -> dict[str, Any]:
    from visionlib.inspection import find_neighbours

    if file is not None:
        source.load()
    found = find_neighbours(source.run, k, dataset=source.place, device=device)
    chosen = found.of(index if index is not None else _find_worst(source.run))
    if file is not None:
        _draw_neighbours(source.load(), chosen, file)
    return {**found.to_dict(), "images": chosen.to_rows()}


def _find_worst(run: Run) -> tuple[int, ...]:
    """Give the test images whose own label the network finds least probable."""
    from visionlib.inspection import score_test

    scored = score_test(run)
    own = scored.probabilities.gather(1, scored.labels[:, None])[:, 0]
    return tuple(scored.index[own.argsort(stable=True)[:_WORST]].tolist())


def _draw_neighbours(data: "Dataset", chosen: "Neighbours", file: Path) -> None:
    from visionlib.inspection.neighbour_picture import describe_neighbours, draw_neighbours

    places = {name: place for place, name in enumerate(data.test.index.tolist())}
    images = data.test.images[[places[name] for name in chosen.index.tolist()]]
    figure = draw_neighbours(chosen, images, data.train.images[chosen.positions])
    save_picture(figure, file, describe_neighbours(chosen))
    log(f"drawn: {file}")


def _make_candidates(
    source: _Source, folds: int | None, epochs: int | None, files: list[Path], device: str
) -> dict[str, Any]:
    from visionlib.inspection import cross_validate, find_candidates, save_candidates, score_test

    if folds is None:
        scored = score_test(source.run)
    else:
        scored = cross_validate(source.run, folds, epochs=epochs, dataset=source.load(), device=device, log=log)
    found = find_candidates(scored)
    save_candidates(source.run, found)
    for file in files:
        if file.suffix.lower() == ".csv":
            from visionlib.inspection import tabulate_candidates

            write_bytes(file, tabulate_candidates(found).encode())
            log(f"written: {file}")
        elif len(found):
            _draw_candidates(source.load(), found, file)
        else:
            log(f"{file}: there is no candidate to draw")
    return {**found.to_dict(), "images": found.to_rows()}


def _draw_candidates(data: "Dataset", found: "LabelCandidates", file: Path) -> None:
    from visionlib.inspection.candidate_picture import MOST_SHOWN, describe_candidates, draw_candidates

    split = data.split(found.split)
    places = {name: place for place, name in enumerate(split.index.tolist())}
    images = split.images[[places[name] for name in found.index[:MOST_SHOWN].tolist()]]
    save_picture(draw_candidates(found, images), file, describe_candidates(found, len(images)))
    log(f"drawn: {file}")


def parse_index(text: str | None) -> tuple[int, ...] | None:
    """Read a list of indices, as `3,14,15`; None stays None.

    Raises:
        ConfigError: if it is no such list.
    """
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError("--of", f"{text!r} is no list of indices", "write it like 3,14,15") from None


def _check_files(map_file: Path | None, neighbours: Path | None, candidates: list[Path]) -> None:
    """Refuse, before anything is computed, files that cannot be written."""
    for file in (map_file, neighbours):
        if file is not None:
            check_picture_path(file)
    for file in candidates:
        if file.suffix.lower() not in (".csv", ".png", ".svg"):
            raise ConfigError(str(file), "is neither a table nor a picture by its name", "end it in .csv, .png or .svg")
        check_file_place(file)
