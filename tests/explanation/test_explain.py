"""`explain` of a run, a trained model and a network; the maps that a run keeps; errors in one line."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.explanation.networks import Blind, Tiny
from tests.explanation.test_state_restored import state_of
from visionlib import evaluate, explain
from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError, ModelError, RunError
from visionlib.explanation import (
    DEFAULT_METHOD,
    METHODS,
    StoredExplanations,
    explain_run,
    load_explanations,
    make_map_maker,
)
from visionlib.explanation.explanation import Explanation
from visionlib.explanation.explanation_picture import describe_explanations, draw_explanations
from visionlib.explanation.overlay import enlarge, overlay_maps
from visionlib.explanation.selection import choose_positions
from visionlib.inference.prediction import predict_logits
from visionlib.inference.predictions import load_predictions
from visionlib.inference.preprocessing import normalize_images
from visionlib.inference.run_model import load_model
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.model_record import load_record
from visionlib.runs import Run, hash_file, read_json, write_json


@pytest.fixture
def run(finished_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return Run(tmp_path / "run")


def test_of_a_run_it_explains_the_predictions_of_the_run(run: Run, small_shapes: Dataset) -> None:
    made = explain(run, small_shapes.test, precision="fp32")
    stored = load_predictions(run)
    assert made.method == DEFAULT_METHOD
    assert made.layers == ("layer2", "layer3")
    assert made.resolution == (8, 8)
    assert torch.equal(made.predictions, stored.predictions.logits.argmax(1))
    assert torch.equal(made.classes, made.predictions)
    expected = stored.predictions.logits.softmax(1).amax(1)
    assert made.probabilities.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert made.labels is not None
    assert torch.equal(made.labels, stored.labels)
    assert torch.equal(made.images, small_shapes.test.images)
    assert bool((made.maps >= 0).all())
    model, record = load_model(run)
    inputs = normalize_images(small_shapes.test.images, record.mean, record.std)
    by_hand = make_map_maker(DEFAULT_METHOD, model, (3, 16, 16))(model, inputs, made.classes)
    assert made.maps.numpy() == pytest.approx(by_hand.numpy(), rel=1e-3, abs=1e-5)


def test_predicted_and_true_differ_where_the_run_is_wrong_and_nowhere_else(run: Run, small_shapes: Dataset) -> None:
    predicted, true = (explain(run, small_shapes.test, target=target) for target in ("predicted", "true"))
    assert true.labels is not None
    is_wrong = predicted.predictions != true.labels
    assert bool(is_wrong.any())
    differs = (predicted.maps != true.maps).flatten(1).any(1)
    assert not bool(differs[~is_wrong].any())
    assert bool(differs[is_wrong].any())


def test_a_class_by_name_and_by_number(run: Run, small_shapes: Dataset) -> None:
    part = small_shapes.test.subset(torch.arange(5))
    by_name, by_number = (
        explain(run, part, target="star"),
        explain(run, part, target=small_shapes.classes.index("star")),
    )
    assert by_name.target == by_number.target == "star"
    assert torch.equal(by_name.maps, by_number.maps)
    assert set(by_name.classes.tolist()) == {small_shapes.classes.index("star")}


def test_images_of_a_run_are_chosen_by_seed_with_the_worst_mistakes(run: Run, small_shapes: Dataset) -> None:
    made = explain(run, n=20, dataset=small_shapes)
    again = explain(run, n=20, dataset=small_shapes)
    assert torch.equal(made.maps, again.maps)
    assert len(made) == 20
    assert made.index.tolist() == sorted(made.index.tolist())
    assert made.index.tolist() != explain(run, n=20, seed=1, dataset=small_shapes).index.tolist()


def test_half_are_the_worst_mistakes_and_the_rest_are_drawn_from_all_others() -> None:
    logits = torch.tensor([[5.0, 0.0], [0.0, 9.0], [0.0, 1.0], [3.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    labels = torch.tensor([0, 0, 0, 0, 1, 1])  # 1, 2 and 5 are wrong, 1 the most
    found = choose_positions(logits, labels, torch.arange(6), 4, 0).tolist()
    assert {1, 2} <= set(found) or {1, 5} <= set(found)
    assert len(set(found)) == 4
    assert choose_positions(logits, labels, torch.arange(6), 100, 0).tolist() == list(range(6))
    assert choose_positions(logits, logits.argmax(1), torch.arange(6), 3, 0).shape == (3,)


def split_of(n: int = 6, classes: int = 3) -> ImageSplit:
    images = torch.randint(0, 256, (n, 3, 12, 12), dtype=torch.uint8)
    return ImageSplit(images, torch.arange(n) % classes, tuple("abcdefgh"[:classes]), torch.arange(n) + 40)


@pytest.mark.parametrize("method", METHODS)
def test_of_a_network_alone(method: str) -> None:
    model, split = Tiny(), split_of()
    before = state_of(model)
    made = explain(model, split, method=method, mean=(0.5,) * 3, std=(0.25,) * 3, target="true")
    assert state_of(model) == before
    assert made.maps.shape[0] == 6
    assert torch.equal(made.classes, split.labels)
    assert made.class_names == ("a", "b", "c")
    logits = predict_logits(model, split.images, mean=(0.5,) * 3, std=(0.25,) * 3)
    assert made.probabilities.numpy() == pytest.approx(logits.softmax(1)[torch.arange(6), split.labels].numpy())
    json.dumps(made.to_dict(), allow_nan=False)


def test_raw_pixels_without_labels_and_one_image_alone() -> None:
    model, images = Tiny(), split_of().images
    whole = explain(model, images, mean=(0.5,) * 3, std=(0.25,) * 3)
    assert whole.labels is None
    assert whole.class_names == ("0", "1", "2")
    one = explain(model, images[3:4], mean=(0.5,) * 3, std=(0.25,) * 3)
    assert one.maps[0].numpy() == pytest.approx(whole.maps[3].numpy(), rel=1e-4, abs=1e-6)
    with pytest.warns(UserWarning, match="there are none to predict"):
        none = explain(model, images[:0], mean=(0.5,) * 3, std=(0.25,) * 3)
    assert len(none) == 0
    assert none.to_dict()["images"] == []


def test_a_network_alone_needs_mean_and_std_as_in_evaluate() -> None:
    model, split = Tiny(), split_of()
    message = "mean, std: are not known of a network alone; give those that it was trained with, or a dataset"
    for images in (split, split.images):
        with pytest.raises(ConfigError, match=message):
            explain(model, images)
        with pytest.raises(ConfigError, match=message):
            explain(model, images, mean=(0.5,) * 3)


def test_a_dataset_gives_mean_and_std_of_its_training_split_and_a_constant_channel_counts_as_1() -> None:
    train, test = split_of(12), split_of(6)
    train.images[:, 1] = 51
    test.images[:, 1] = 51
    dataset = Dataset("constant", {"train": train, "test": test}, test.classes)
    assert train.std[1] == 0
    model = Tiny()
    explanation = explain(model, dataset, target="true")
    assert torch.equal(explanation.images, test.images)
    std = (train.std[0], 1.0, train.std[2])
    expected = explain(model, test, target="true", mean=train.mean, std=std)
    assert torch.equal(explanation.maps, expected.maps)
    assert torch.equal(explanation.probabilities, expected.probabilities)
    right = int((explanation.predictions == test.labels).sum())
    assert evaluate(model, dataset).correct == right
    assert not torch.equal(explain(model, dataset, mean=(0.1,) * 3).maps, explain(model, dataset).maps)


def inputs_of(network: nn.Module, work: Callable[[], object]) -> Tensor:
    """The inputs of the network in its first run of 16 images or more."""
    seen: list[Tensor] = []
    with network.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone())):
        work()
    return next(inputs for inputs in seen if len(inputs) >= 16)


@pytest.mark.parametrize("side_px", [None, 8])
def test_explain_and_evaluate_give_a_network_the_same_inputs(side_px: int | None) -> None:
    train, test = split_of(20), split_of(18)
    train.images[:, 1] = 51
    dataset, model = Dataset("some", {"train": train, "test": test}, test.classes), Tiny()
    fields: dict[str, Any] = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.3, 0.4), "side_px": side_px}
    trained = TrainedModel.from_network(model, **fields, classes=test.classes)
    for subject, images, options in (
        (model, dataset, {"side_px": side_px}),
        (model, dataset, {"side_px": side_px, "mean": (0.1,) * 3}),
        (model, dataset, {"side_px": side_px, "std": (0.1,) * 3}),
        (model, test, fields),
        (trained, dataset, {}),
        (trained, test, {}),
    ):
        explained, evaluated = (
            inputs_of(model, partial(work, subject, images, **options)) for work in (explain, evaluate)
        )
        assert torch.equal(explained, evaluated)
        assert explained.shape[2] == (side_px or 12)
        mean, std = (options.get(name, getattr(train, name)) for name in ("mean", "std"))
        if images is test or subject is trained:
            mean, std = fields["mean"], fields["std"]
        std = tuple(value or 1.0 for value in std)
        by_hand = (test.images / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        if side_px:
            by_hand = nn.functional.interpolate(by_hand, (8, 8), mode="bilinear", antialias=True)
        torch.testing.assert_close(explained, by_hand, rtol=1e-4, atol=1e-5)
        # The maps, too, are of these inputs, and the predictions of both are the same.
        explanation = explain(subject, images, method="gradient", **options)
        assert evaluate(subject, images, **options).correct == int((explanation.predictions == test.labels).sum())
        expected = make_map_maker("gradient", model, (3, *explained.shape[2:]))(model, explained, explanation.classes)
        torch.testing.assert_close(explanation.maps, expected)


def test_a_run_is_explained_and_evaluated_on_the_same_inputs(run: Run, small_shapes: Dataset) -> None:
    explanation = explain(run, small_shapes)
    assert explanation.labels is not None
    right = int((explanation.predictions == explanation.labels).sum())
    assert evaluate(run, dataset=small_shapes, predict=True).correct == right


def test_the_completeness_of_integrated_gradients_is_reported_and_kept(run: Run, small_shapes: Dataset) -> None:
    explanation = explain(run, method="integrated-gradients", n=12, dataset=small_shapes)
    gaps = explanation.completeness_gaps
    assert gaps is not None
    within = int((gaps <= 0.01).sum())
    assert within > 6
    record = explanation.to_dict()
    assert record["completeness"] == {
        "limit": 0.01,
        "within": within,
        "n": 12,
        "mean_gap": pytest.approx(float(gaps.mean())),
        "largest_gap": pytest.approx(float(gaps.max())),
    }
    json.dumps(record, allow_nan=False)
    stored = load_explanations(run)
    assert torch.equal(stored.completeness_gaps["integrated-gradients.predicted"], gaps)
    part = explanation.take(torch.tensor([2, 5])).completeness_gaps
    assert part is not None
    assert torch.equal(part, gaps[[2, 5]])
    assert explain(run, n=4, dataset=small_shapes).to_dict()["completeness"] is None
    assert load_explanations(run).completeness_gaps == {}


def test_a_trained_model_is_explained_like_its_run(run: Run, small_shapes: Dataset) -> None:
    part = small_shapes.test.subset(torch.arange(8))
    model = TrainedModel.from_run(run)
    assert torch.equal(explain(model, part).maps, explain(run, part).maps)
    dataset = Dataset("part", {"train": small_shapes.train, "test": part}, part.classes)
    assert torch.equal(explain(model, dataset).maps, explain(run, dataset).maps)
    assert not torch.equal(explain(model, part, precision="bf16").maps, explain(model, part).maps)
    with pytest.raises(ConfigError, match="images: there are none to explain"):
        explain(model)
    with pytest.raises(ConfigError, match="images: have other classes than the network"):
        explain(model, split_of())


def test_a_run_is_explained_in_the_precision_of_its_training(run: Run, small_shapes: Dataset) -> None:
    part = small_shapes.test.subset(torch.arange(8))
    maps = {precision: explain(run, part, precision=precision).maps for precision in ("fp32", "bf16")}
    assert not torch.equal(maps["fp32"], maps["bf16"])
    config = read_json(run.config)
    for precision in ("fp32", "bf16"):
        write_json(run.config, {**config, "compute": {**config["compute"], "precision": precision}})
        assert torch.equal(explain(run, part).maps, maps[precision])


def test_constant_maps_are_flagged_and_divided_by_nothing() -> None:
    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    made = explain(Blind(), images, mean=(0.5,), std=(0.5,))
    assert made.is_constant.tolist() == [True] * 3
    assert bool((made.scaled == 0).all())
    assert [one["maximum"] for one in made.to_dict()["images"]] == [None] * 3
    assert "3 maps are constant" in describe_explanations([made])
    draw_explanations([made])


def test_errors_are_one_line(run: Run, small_shapes: Dataset) -> None:
    split = small_shapes.test
    with pytest.raises(ConfigError, match="target moon: there is no such class; known are: circle, "):
        explain(run, split, target="moon")
    with pytest.raises(ConfigError, match="target 10: there is no such class"):
        explain(run, split, target=10)
    with pytest.raises(ConfigError, match="target: the true classes are not known; give a split, or explain"):
        explain(run, split.images, target="true")
    with pytest.raises(ConfigError, match=r"images: are float32 of shape \(70, 3, 16, 16\); give raw pixels"):
        explain(run, split.images.float())
    with pytest.raises(ConfigError, match="images: have other classes than the network"):
        explain(run, split_of())
    with pytest.raises(ConfigError, match="images: there are none to explain"):
        explain(Tiny())
    with pytest.raises(ConfigError, match="mean, std, side_px: are known already; leave them out"):
        explain(run, split, side_px=8)
    with pytest.raises(ModelError, match="layer 'layer9': is not in the network; close to it: layer"):
        explain(run, split, layers=["layer9"])
    with pytest.raises(ConfigError, match="batch_size: 0 is out of range"):
        explain(run, split, batch_size=0)
    with pytest.raises(ConfigError, match="n: 0 is out of range"):
        explain(run, n=0, dataset=small_shapes)


def store(run: Run, explanations: list[Explanation]) -> None:
    fields = {"dataset": "shapes", "content_hash": "x", "seed": 0, "selection": "some"}
    StoredExplanations.from_explanations(explanations, **fields).save(run)


def test_maps_that_a_run_keeps_are_read_back(run: Run, small_shapes: Dataset) -> None:
    part = small_shapes.test.subset(torch.arange(9))
    explanations = [explain(run, part, target=target) for target in ("predicted", "true")]
    store(run, explanations)
    stored = load_explanations(run)
    assert [one.key for one in stored.maps] == ["layercam-fused.predicted", "layercam-fused.true"]
    assert stored.maps[0].resolution == (8, 8)
    assert torch.equal(stored.index, part.index)
    for one, entry in zip(explanations, stored.maps, strict=True):
        values = stored.values[entry.key].float() / 255 * stored.peaks[entry.key][:, None, None]
        bound = one.maps.amax((1, 2)).numpy()[:, None, None] / 500 + 1e-6
        assert bool((np.abs(values.numpy() - one.maps.numpy()) <= bound).all())
    first = (run.explanations / "maps.npz").read_bytes()
    store(run, explanations)
    assert (run.explanations / "maps.npz").read_bytes() == first


def test_explaining_a_run_keeps_the_maps_of_its_test_images(run: Run, small_shapes: Dataset) -> None:
    explanation = explain(run, n=20, seed=3, dataset=small_shapes)
    stored = load_explanations(run)
    assert [entry.key for entry in stored.maps] == ["layercam-fused.predicted"]
    assert torch.equal(stored.index, explanation.index)
    assert torch.equal(stored.peaks["layercam-fused.predicted"], explanation.maps.amax((1, 2)))
    (run.explanations / "manifest.json").unlink()
    explanations = explain_run(run, n=20, seed=3, dataset=small_shapes)
    assert [one.target for one in explanations] == ["predicted", "true"]
    assert torch.equal(explanations[0].maps, explanation.maps)
    manifest = read_json(run.explanations / "manifest.json")
    assert [entry["key"] for entry in manifest["maps"]] == ["layercam-fused.predicted", "layercam-fused.true"]
    assert (manifest["dataset"], manifest["split"], manifest["seed"], manifest["n"]) == ("shapes", "test", 3, 20)
    assert manifest["content_hash"] == small_shapes.test.content_hash
    assert manifest["selection"] == "20 test images: the worst mistakes, at most half of them, and others by seed 3"
    explain(run, small_shapes.test.subset(torch.arange(3)))
    assert read_json(run.explanations / "manifest.json") == manifest
    with pytest.raises(ConfigError, match="layercam-fused of layer2, layer3: is asked for twice; ask for it once"):
        explain_run(
            run,
            [("layercam-fused", None), ("layercam-fused", ["layer2", "layer3"])],
            index=[4, 2],
            dataset=small_shapes,
        )


def test_maps_of_the_previous_version_are_read(run: Run) -> None:
    arrays = {
        "index": np.array([4, 2]),
        "predicted": np.array([1, 0]),
        "label": np.array([1, 1]),
        "gradient.true": np.arange(8, dtype=np.uint8).reshape(2, 2, 2),
        "gradient.true.peak": np.array([0.5, 2.0], dtype=np.float32),
        "gradient.true.is_constant": np.array([False, False]),
    }
    run.explanations.mkdir()
    file = run.explanations / "maps.npz"
    np.savez(file, allow_pickle=False, **arrays)
    entry = {"key": "gradient.true", "method": "gradient", "layers": [], "resolution": [2, 2], "target": "true"}
    manifest = {
        "weights_sha256": load_record(run).weights_sha256,
        "dataset": "shapes",
        "content_hash": "x",
        "split": "test",
        "seed": 7,
        "selection": "images that were named",
        "n": 2,
        "maps": [entry],
        "arrays_sha256": hash_file(file),
    }
    write_json(run.explanations / "manifest.json", manifest)
    stored = load_explanations(run)
    assert stored.index.tolist() == [4, 2]
    assert stored.values["gradient.true"].flatten().tolist() == list(range(8))
    assert (stored.dataset, stored.content_hash, stored.seed) == ("shapes", "x", 7)
    stored.save(run)
    assert read_json(run.explanations / "manifest.json") | {"arrays_sha256": ""} == {
        "schema_version": 1,
        **manifest,
        "arrays_sha256": "",
    }
    with np.load(file) as again:
        assert {name: again[name].tolist() for name in again} == {name: one.tolist() for name, one in arrays.items()}


def test_stored_maps_of_something_else_are_refused(run: Run, small_shapes: Dataset) -> None:
    with pytest.raises(RunError, match="the run lacks it; make it anew with `visionlib explain`"):
        load_explanations(run)
    made = explain(run, small_shapes.test.subset(torch.arange(3)))
    store(run, [made])
    file = run.explanations / "maps.npz"
    content = file.read_bytes()
    file.write_bytes(content[:-5])
    with pytest.raises(RunError, match="does not have the SHA-256 of its record"):
        load_explanations(run)
    file.write_bytes(content)
    manifest = read_json(run.explanations / "manifest.json")
    write_json(run.explanations / "manifest.json", {**manifest, "weights_sha256": "0"})
    with pytest.raises(RunError, match="was made with other weights"):
        load_explanations(run)
    write_json(run.explanations / "manifest.json", {**manifest, "maps": [{"key": "absent"}]})
    with pytest.raises(RunError, match="is damaged"):
        load_explanations(run)
    other = dataclasses.replace(made, index=made.index + 1)
    with pytest.raises(ConfigError, match="are not of the same images with labels"):
        store(run, [made, other])


def test_a_map_lies_over_its_image_cell_by_cell() -> None:
    images = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    maps = torch.tensor([[[0.0, 1.0], [0.5, 0.0]]])
    shown = overlay_maps(images, maps, side_px=16, opacity=0.5)
    assert shown.shape == (1, 3, 16, 16)
    cells = shown[0].unfold(1, 8, 8).unfold(2, 8, 8).flatten(3)
    assert bool((cells.amax(3) == cells.amin(3)).all())  # a cell has one colour
    violet, yellow = torch.tensor([68.0, 1, 84]), torch.tensor([253.0, 231, 36])
    assert shown[0, :, 0, 0].tolist() == pytest.approx(((100 + violet) / 2).tolist(), abs=1)
    assert shown[0, :, 0, 15].tolist() == pytest.approx(((100 + yellow) / 2).tolist(), abs=1)
    smooth = overlay_maps(images, maps, side_px=16, is_smooth=True)
    assert len(set(smooth.flatten().tolist())) > len(set(shown.flatten().tolist()))
    assert torch.equal(enlarge(images[:, :1], 8), images[:, :, :1, :1].expand(1, 3, 8, 8))


def test_the_picture_holds_each_image_and_its_maps() -> None:
    split = split_of(5)
    made = [explain(Tiny(), split, target=target, mean=(0.5,) * 3, std=(0.25,) * 3) for target in ("predicted", "true")]
    figure = draw_explanations(made)
    assert len(figure.axes[0].images) == 5 * 3
    told = describe_explanations(made)
    assert "layercam-fused of relu1, relu2, 6 x 6 cells, for the predicted class" in told
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "image 40" in texts
    assert "is a" in texts
    with pytest.raises(ConfigError, match="explanations: there are none to draw"):
        draw_explanations([])
    with pytest.raises(ConfigError, match="explanations: are of different images"):
        draw_explanations([made[0], made[1].take(torch.arange(2))])


def test_a_notebook_shows_the_picture() -> None:
    made = explain(Tiny(), split_of(), mean=(0.5,) * 3, std=(0.25,) * 3)
    assert made._repr_png_().startswith(b"\x89PNG")
