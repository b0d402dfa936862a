"""Folds are assigned evenly, no network scores what it has learned, and what is done is not done again."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.inspection.conftest import EASY
from tests.inspection.planted import draw_stripes, plant_wrong_labels, striped_dataset
from visionlib.data import Dataset, ImageSplit
from visionlib.data.holdout import assign_folds
from visionlib.errors import ConfigError, RunError
from visionlib.inference.run_model import load_model
from visionlib.inspection import OutOfSample, cross_validate, find_candidates
from visionlib.inspection import folds as folds_module
from visionlib.runs import Run, read_json, write_json
from visionlib.training import TrainConfig, outcome
from visionlib.training.train_run import train

Train = Callable[..., Run]


def split_of(labels: list[int], k: int = 3) -> ImageSplit:
    n = len(labels)
    names = tuple("abcdefgh"[:k])
    images = torch.zeros(n, 1, 4, 4, dtype=torch.uint8)
    return ImageSplit(images, torch.tensor(labels), names, index=torch.arange(n) * 3 + 7)


@pytest.mark.parametrize("folds", [2, 3, 5, 7])
@pytest.mark.parametrize("labels", [[0] * 20 + [1] * 11 + [2] * 3, [0, 1, 2] * 9, [2] * 13, [0] * 19 + [1]])
def test_every_class_is_spread_evenly_and_so_is_the_whole(labels: list[int], folds: int) -> None:
    assigned = assign_folds(split_of(labels), folds, seed=0)
    for chosen in [assigned, *(assigned[torch.tensor(labels) == label] for label in set(labels))]:
        counts = torch.bincount(chosen, minlength=folds)
        assert len(counts) == folds
        assert int(counts.max() - counts.min()) <= 1


def test_folds_are_a_function_of_seed_and_index() -> None:
    split = split_of([0, 1, 2] * 20)
    assigned = assign_folds(split, 5, seed=0)
    assert assigned.equal(assign_folds(split, 5, seed=0))
    assert not assigned.equal(assign_folds(split, 5, seed=1))
    shuffled = torch.randperm(60)
    assert assign_folds(split.subset(shuffled), 5, seed=0).equal(assigned[shuffled])


@pytest.mark.parametrize("folds", [-1, 0, 1, 61])
def test_impossible_numbers_of_folds_are_told(folds: int) -> None:
    with pytest.raises(ConfigError, match=f"folds: {folds} is out of range; ask for 2 to 60"):
        assign_folds(split_of([0, 1, 2] * 20), folds, seed=0)


@pytest.fixture
def trained_parts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Dataset, TrainConfig, Path]]:
    """What is trained on while the test runs; the training itself goes on."""
    seen: list[tuple[Dataset, TrainConfig, Path]] = []

    def watch(part: Dataset, config: TrainConfig, *, out: Path, **others: Any) -> Run:
        seen.append((part, config, out))
        return train(part, config, out=out, **others)

    monkeypatch.setattr("visionlib.inspection.folds.train", watch)
    return seen


Parts = list[tuple[Dataset, TrainConfig, Path]]
Validated = tuple[Run, OutOfSample]


@pytest.fixture(scope="module")
def validated(learned_run: Run, stripes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Validated:
    """A run whose two folds of one epoch are done, and what they gave."""
    run = Run(shutil.copytree(learned_run.path, tmp_path_factory.mktemp("validated") / "run"))
    return run, cross_validate(run, 2, epochs=1, dataset=stripes)


@pytest.fixture
def done(validated: Validated, tmp_path: Path) -> Validated:
    """A copy of it, in which a test may remove what a fold left."""
    run, scored = validated
    return Run(shutil.copytree(run.path, tmp_path / "run")), scored


def folder_of(run: Run) -> Path:
    return run.inspection / "folds" / "2-folds-1-epochs"


def forget(run: Run, fold: int) -> None:
    """Remove what a fold left, so that its network is trained again."""
    for suffix in ("json", "npz"):
        (folder_of(run) / f"fold-{fold}.{suffix}").unlink()


def test_every_image_is_scored_by_a_network_that_has_not_seen_it(
    copied_run: Run, stripes: Dataset, trained_parts: Parts
) -> None:
    told: list[str] = []
    scored = cross_validate(copied_run, 3, epochs=1, dataset=stripes, log=told.append)
    assert len(trained_parts) == 3
    left_out = torch.cat([part.test.index for part, _, _ in trained_parts])
    assert left_out.sort().values.equal(stripes.train.index)
    for part, config, _ in trained_parts:
        assert not set(part.train.index.tolist()) & set(part.test.index.tolist())
        assert len(part.train) + len(part.test) == 240
        assert (config.epochs, config.peak_learning_rate) == (1, 0.05)
    assert scored.split == "train"
    assert scored.index.equal(stripes.train.index)
    assert scored.labels.equal(stripes.train.labels)
    assert scored.probabilities.sum(1).numpy() == pytest.approx(1)
    assert any(line.startswith("fold 2 of 3: epoch 1/1") for line in told)


def test_probabilities_are_those_of_the_folds_own_network(
    done: Validated, stripes: Dataset, trained_parts: Parts, tmp_path: Path
) -> None:
    run, scored = done
    forget(run, 2)
    assert cross_validate(run, 2, epochs=1, dataset=stripes).probabilities.equal(scored.probabilities)
    ((part, config, _),) = trained_parts
    model, record = load_model(train(part, config, out=tmp_path / "again"))
    images = (part.test.images / 255 - record.mean[0]) / record.std[0]
    with torch.no_grad():
        expected = ((model(images) + model(images.flip(3))) / 2).double().softmax(1)
    places = torch.isin(scored.index, part.test.index)
    assert scored.probabilities[places].numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_folds_that_are_done_are_not_trained_again(done: Validated, stripes: Dataset, trained_parts: Parts) -> None:
    run, first = done
    again = cross_validate(run, 2, epochs=1, dataset=stripes)
    assert len(trained_parts) == 0
    assert again.probabilities.equal(first.probabilities)
    folder = folder_of(run)
    assert sorted(path.name for path in folder.iterdir()) == [f"fold-{n}.{e}" for n in (1, 2) for e in ("json", "npz")]
    (folder / "fold-2.npz").write_bytes(b"damaged")
    assert cross_validate(run, 2, epochs=1, dataset=stripes).probabilities.equal(first.probabilities)
    assert len(trained_parts) == 1
    cross_validate(run, 2, epochs=2, dataset=stripes)
    assert len(trained_parts) == 3


def test_repeats_have_other_folds_and_seeds_and_are_averaged(
    copied_run: Run, stripes: Dataset, trained_parts: Parts
) -> None:
    first = cross_validate(copied_run, 2, epochs=1, dataset=stripes)
    both = cross_validate(copied_run, 2, repeats=2, epochs=1, dataset=stripes)
    assert [config.seed for _, config, _ in trained_parts] == [0, 0, 1, 1]
    assert not trained_parts[0][0].test.index.equal(trained_parts[2][0].test.index)
    other = copied_run.inspection / "folds" / "2-folds-1-epochs-repeat-2"
    second = torch.zeros_like(first.probabilities)
    for number, (part, _, _) in enumerate(trained_parts[2:], 1):
        with np.load(other / f"fold-{number}.npz") as arrays:
            second[torch.isin(stripes.train.index, part.test.index)] = torch.from_numpy(arrays["probabilities"])
    assert both.probabilities.numpy() == pytest.approx(((first.probabilities + second) / 2).numpy())
    assert both.source.startswith("2 times 2 networks (")
    cross_validate(copied_run, 2, repeats=2, epochs=1, dataset=stripes)
    assert len(trained_parts) == 4
    with pytest.raises(ConfigError, match="repeats: 0 is out of range; it must be at least 1"):
        cross_validate(copied_run, 2, repeats=0, dataset=stripes)


def test_folds_of_the_previous_version_count_if_their_settings_mean_the_same(
    done: Validated, stripes: Dataset, trained_parts: Parts
) -> None:
    """It stored settings that exist no longer."""
    run, first = done
    path = folder_of(run) / "fold-1.json"
    record = read_json(path)
    write_json(path, {**record, "settings": {**record["settings"], "zero_init": False}})
    assert cross_validate(run, 2, epochs=1, dataset=stripes).probabilities.equal(first.probabilities)
    assert len(trained_parts) == 0
    for removed in ({"zero_init": True}, {"averaging": "lookahead"}):
        write_json(path, {**record, "settings": {**record["settings"], **removed}})
        cross_validate(run, 2, epochs=1, dataset=stripes)
        assert read_json(path)["settings"] == record["settings"]
    assert len(trained_parts) == 2


def test_an_interrupted_fold_of_the_previous_version_goes_on(
    done: Validated, stripes: Dataset, trained_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = done
    forget(run, 1)
    with monkeypatch.context() as patch:
        patch.setattr(outcome, "save_model", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            cross_validate(run, 2, epochs=1, dataset=stripes)
    path = folder_of(run) / "fold-1.run" / "config.json"
    record = read_json(path)
    write_json(path, {**record, "config": {**record["config"], "zero_init": False}})
    cross_validate(run, 2, epochs=1, dataset=stripes)
    assert [out.name for _, _, out in trained_parts] == ["fold-1.run"]


def test_an_interrupted_fold_goes_on_where_it_was(
    done: Validated, stripes: Dataset, trained_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, expected = done
    kept = folder_of(run)
    (kept / "fold-2.npz").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(outcome, "save_model", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            cross_validate(run, 2, epochs=1, dataset=stripes)
    assert (kept / "fold-2.run" / "resume.pt").is_file()
    assert len(trained_parts) == 1
    assert cross_validate(run, 2, epochs=1, dataset=stripes).probabilities.equal(expected.probabilities)
    assert len(trained_parts) == 1
    assert not (kept / "fold-2.run").exists()


def _interrupt(*arguments: object) -> str:
    raise KeyboardInterrupt


def test_a_damaged_beginning_is_begun_anew(done: Validated, stripes: Dataset, trained_parts: Parts) -> None:
    run, expected = done
    forget(run, 1)
    place = folder_of(run) / "fold-1.run"
    place.mkdir()
    (place / "config.json").write_text("{")
    assert cross_validate(run, 2, epochs=1, dataset=stripes).probabilities.equal(expected.probabilities)
    assert len(trained_parts) == 1


def test_folds_begin_with_the_weights_of_the_package_and_with_no_others(
    small_shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"epochs": 1, "device": "cpu", "precision": "fp32", "threads": 1}
    first = train(small_shapes, quick, init="cnn8-cifar10", out=tmp_path / "first")
    second = train(small_shapes, quick, init=first, out=tmp_path / "second")
    begun: list[object] = []

    def remember(*arguments: Any, **options: Any) -> Run:
        begun.append(options["init"])
        return train(*arguments, **options)

    monkeypatch.setattr(folds_module, "train", remember)
    for run, expected in ((first, "cnn8-cifar10"), (second, None)):
        begun.clear()
        cross_validate(run, 2, dataset=small_shapes, device="cpu")
        assert begun == [expected, expected]
        begun.clear()
        cross_validate(run, 2, dataset=small_shapes, device="cpu")
        assert begun == []


def test_other_data_is_refused(copied_run: Run, small_shapes: Dataset) -> None:
    with pytest.raises(RunError, match="was trained on other data"):
        cross_validate(copied_run, 2, dataset=small_shapes)


def test_wrong_labels_among_the_training_images_are_found(tmp_path: Path) -> None:
    train_split, planted = plant_wrong_labels(draw_stripes(360, seed=2), 0.05)
    source = dataclasses.replace(striped_dataset(), splits={"train": train_split, "test": draw_stripes(40, seed=3)})
    run = train(source, EASY.replace(epochs=1), out=tmp_path / "run")  # whose network is not asked
    found = find_candidates(cross_validate(run, 3, epochs=4, dataset=source, device="cpu"))
    hits = set(found.index.tolist()) & planted
    assert len(planted) == 18
    assert len(hits) / len(planted) >= 0.8
    assert len(hits) / len(found) >= 0.5  # by chance it would be 0.05
