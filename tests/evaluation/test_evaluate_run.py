import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from visionlib.data import Dataset, hold_out
from visionlib.data.shapes import load_shapes
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.evaluation import evaluate, fit_temperature, load_evaluation
from visionlib.evaluation.selective import choose_threshold
from visionlib.inference.prediction import predict_logits
from visionlib.inference.predictions import load_predictions, save_predictions
from visionlib.inference.run_model import load_model, save_model
from visionlib.runs import Run, hash_file, read_json
from visionlib.training import TrainConfig, train


@pytest.fixture
def copied_run(finished_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return Run(tmp_path / "run")


def test_figures_equal_a_slow_loop_over_single_images(copied_run: Run, small_shapes: Dataset) -> None:
    evaluation = evaluate(copied_run)
    model, record = load_model(copied_run)
    correct, losses = 0, []
    for image, label in zip(small_shapes.test.images, small_shapes.test.labels, strict=True):
        logits = predict_logits(model, image[None], mean=record.mean, std=record.std)[0].double()
        correct += int(logits.argmax() == label)
        losses.append(-logits.log_softmax(0)[label].item())
    assert evaluation.n == 70
    assert evaluation.correct == correct
    assert evaluation.loss == pytest.approx(sum(losses) / 70, abs=1e-6)
    assert evaluation.accuracy == read_json(copied_run.training)[
        "test_accuracy"
    ] or evaluation.accuracy == pytest.approx(read_json(copied_run.training)["test_accuracy"], abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_any_batch_size_gives_the_same_figures(copied_run: Run, small_shapes: Dataset, batch_size: int) -> None:
    stored = evaluate(copied_run)
    again = evaluate(copied_run, dataset=small_shapes, predict=True, batch_size=batch_size)
    assert again.correct == stored.correct
    assert again.mirror_correct == stored.mirror_correct
    assert again.loss == pytest.approx(stored.loss, abs=1e-6)


def test_testing_twice_says_the_same_and_changes_no_weight(copied_run: Run, small_shapes: Dataset) -> None:
    before = hash_file(copied_run.weights)
    first = evaluate(copied_run, dataset=small_shapes, predict=True)
    second = evaluate(copied_run, dataset=small_shapes, predict=True)
    assert first == second
    assert hash_file(copied_run.weights) == before


def test_the_record_on_disk_says_what_the_result_says(copied_run: Run) -> None:
    evaluation = evaluate(copied_run)
    written = read_json(copied_run.evaluation)
    assert {key: written[key] for key in evaluation.to_dict()} == evaluation.to_dict()
    assert written["split"] == "test"
    assert load_evaluation(copied_run) == evaluation


def test_figures_of_other_weights_or_none_are_refused(copied_run: Run) -> None:
    evaluate(copied_run)
    model, record = load_model(copied_run)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    save_model(copied_run, model, record)
    with pytest.raises(RunError, match=r"evaluation\.json: was made with other weights"):
        load_evaluation(copied_run)
    copied_run.evaluation.unlink()
    with pytest.raises(RunError, match=r"evaluation\.json: the run lacks it; make it anew with `visionlib test`"):
        load_evaluation(copied_run)


def test_no_dataset_is_needed_where_predictions_are_kept(copied_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> Dataset:
        raise AssertionError("the dataset was read")

    monkeypatch.setattr("visionlib.inference.run_data.load_dataset", refuse)
    assert evaluate(copied_run).n == 70


def test_other_data_is_refused(copied_run: Run) -> None:
    other = load_shapes(n_train=200, n_test=70, image_size=16, seed=1)
    with pytest.raises(RunError, match=r"was trained on other data .*name the data it was trained on with --dataset"):
        evaluate(copied_run, dataset=other)


def test_predictions_of_other_weights_are_refused(copied_run: Run, small_shapes: Dataset) -> None:
    model, record = load_model(copied_run)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    save_model(copied_run, model, record)
    with pytest.raises(RunError, match="was made with other weights; make it again with `visionlib test --predict`"):
        evaluate(copied_run)
    assert evaluate(copied_run, dataset=small_shapes, predict=True).n == 70


def test_damaged_predictions_are_refused(copied_run: Run) -> None:
    copied_run.predictions.write_bytes(copied_run.predictions.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"predictions\.npz: is damaged"):
        evaluate(copied_run)


def test_absent_data_is_told_when_it_is_needed(copied_run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        evaluate(copied_run, dataset=tmp_path / "gone", predict=True)


def test_a_run_without_images_held_out_has_no_temperature_and_says_how_to_get_one(copied_run: Run) -> None:
    evaluation = evaluate(copied_run)
    assert evaluation.temperature is None
    assert "train with --validation-fraction 0.1" in evaluation.temperature_note
    assert not copied_run.validation.exists()


@pytest.fixture(scope="module")
def parted_run(small_shapes: Dataset, small_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in whose training a fifth of the images was held out."""
    config = small_config.replace(epochs=1, validation_fraction=0.2, seed=3)
    return train(small_shapes, config, out=tmp_path_factory.mktemp("runs") / "parted")


@pytest.fixture
def parted(parted_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(parted_run.path, tmp_path / "run")
    return Run(tmp_path / "run")


def test_the_temperature_is_fitted_on_the_images_held_out_of_training(parted: Run, small_shapes: Dataset) -> None:
    evaluation = evaluate(parted)
    _, held_out = hold_out(small_shapes.train, 0.2, seed=3)
    model, record = load_model(parted)
    logits = predict_logits(model, held_out.images, mean=record.mean, std=record.std)
    assert evaluation.temperature is not None
    assert evaluation.temperature.n == len(held_out) == 40
    assert evaluation.temperature.temperature == fit_temperature(logits.double(), held_out.labels)
    assert read_json(parted.evaluation)["temperature"] == evaluation.temperature.to_dict()


def test_what_is_said_of_the_images_held_out_can_be_made_again(parted: Run, small_shapes: Dataset) -> None:
    before = evaluate(parted)
    parted.validation.unlink()
    assert evaluate(parted).temperature_note == "the run lacks validation.npz; make it with `visionlib test --predict`"
    assert evaluate(parted, dataset=small_shapes, predict=True, batch_size=7) == before


def test_what_is_said_of_the_images_held_out_belongs_to_the_weights(parted: Run, small_shapes: Dataset) -> None:
    model, record = load_model(parted)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    stored = load_predictions(parted)
    weights_sha256 = save_model(parted, model, record).weights_sha256
    save_predictions(parted, stored.predictions, small_shapes.test, weights_sha256)
    with pytest.raises(RunError, match=r"validation\.npz: was made with other weights"):
        evaluate(parted)


def test_a_run_is_scored_on_its_own_split(copied_run: Run, small_shapes: Dataset) -> None:
    with pytest.raises(ConfigError, match="split: a run is scored on its own test split"):
        evaluate(copied_run, small_shapes)  # type: ignore[call-overload]


def test_selective_views_take_their_threshold_from_held_out_images(parted: Run, small_shapes: Dataset) -> None:
    plain, evaluation = evaluate(parted), evaluate(parted, dataset=small_shapes, selective=True)
    assert plain.selective is None
    views = evaluation.selective
    assert views is not None
    assert views.threshold == choose_threshold(
        (
            load_predictions(parted, file=parted.validation).predictions.logits,
            hold_out(small_shapes.train, 0.2, 3)[1].labels,
        )
    )
    assert views.threshold.n == 40
    assert views.n == 70
    assert 0 < views.selected <= 70
    assert dataclasses.replace(evaluation, selective=None) == plain
    assert load_evaluation(parted) == evaluation
    assert read_json(parted.evaluation)["selective"] == views.to_dict()


def test_selective_views_without_held_out_images_say_so(copied_run: Run, small_shapes: Dataset) -> None:
    views = evaluate(copied_run, dataset=small_shapes, selective=True).selective
    assert views is not None
    assert (views.threshold.confidence, views.threshold.n) == (0.9, 0)
    assert "no training images were held out" in views.threshold.source
