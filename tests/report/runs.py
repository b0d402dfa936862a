"""Finished runs without a training: every file of a run folder, of figures that are known."""

from pathlib import Path

import torch
from torch import Tensor

from visionlib.data import Dataset, ImageSplit
from visionlib.data.class_names import embed_name
from visionlib.data.corruption import find_corruptions
from visionlib.evaluation import StressResult, WeakGroups, evaluate_run
from visionlib.evaluation.comparison.paired import PairedCounts
from visionlib.evaluation.groups.conditions import Condition
from visionlib.evaluation.groups.weak_groups import Group, GroupImages
from visionlib.evaluation.shortcuts.result import ClassSign, PropertyScore, Shortcuts
from visionlib.evaluation.stress.answers import Answers
from visionlib.evaluation.stress.result import MADE_HERE
from visionlib.explanation.explanation import Explanation
from visionlib.explanation.quality import Estimate, MapQuality, MethodQuality
from visionlib.explanation.reliance.result import Change, PropertyReliance, Reliance
from visionlib.explanation.stored_explanations import StoredExplanations
from visionlib.inference.device import choose_compute
from visionlib.inference.predictions import SplitPredictions, save_predictions
from visionlib.inference.run_model import save_model
from visionlib.inspection import Duplicates, LabelCandidates
from visionlib.inspection.duplicates import make_pair
from visionlib.inspection.joined_splits import JoinedSplits
from visionlib.inspection.split_embeddings import read_hashes
from visionlib.models import build_model
from visionlib.models.model_record import ModelRecord
from visionlib.runs import Run, create_run, write_json, write_json_lines
from visionlib.runs.results import save_result
from visionlib.summary import summarize
from visionlib.training import TrainConfig
from visionlib.training.provenance import describe_run

HOSTILE = (
    "<script>window.isHacked = true; alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "{{ 7 * 7 }}{% raw %}",
    "\"quoted\" 'twice' & </script><!--",
    "=HYPERLINK(A1)",
    "\u05d7\u05ea\u05d5\u05dc \u202etac",
    "w" * 255,
    "--help\n\\u003c$&",
)
K_NEIGHBOURS = 3
HOT_CELL = 5
"""Of the first map of every image, the cell with all of the evidence."""


def rename(data: Dataset, classes: tuple[str, ...]) -> Dataset:
    """Give the same images with other class names; labels wrap round."""
    splits = {
        name: ImageSplit(split.images, split.labels % len(classes), classes, split.index)
        for name, split in data.splits.items()
    }
    return Dataset("renamed", splits, classes)


def draw_logits(split: ImageSplit, share_right: float, seed: int, strength: float) -> Tensor:
    """Draw logits of which about so many have their label's the largest."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(split), len(split.classes), generator=generator)
    favoured = torch.where(
        torch.rand(len(split), generator=generator) < share_right,
        split.labels,
        torch.randint(len(split.classes), (len(split),), generator=generator),
    )
    return logits.scatter_add(1, favoured[:, None], strength + 2 * torch.rand(len(split), 1, generator=generator))


def make_run(
    path: Path,
    data: Dataset,
    *,
    share_right: float = 0.8,
    strength: float = 3,
    seed: int = 0,
    is_whole: bool = True,
) -> Run:
    """Make a run with all that a page can show, or with nothing but what a training leaves."""
    run = create_run(path)
    config = describe_run(data, TrainConfig(model="resnet20", epochs=2), choose_compute("cpu", "fp32", 1))
    write_json(run.config, config)
    classes, test = data.classes, data.test
    model = build_model("resnet20", classes=len(classes), channels=test.channels, seed=seed)
    record = ModelRecord(
        "resnet20", classes, test.channels, test.image_size, test.mean, tuple(value or 1.0 for value in test.std)
    )
    weights = save_model(run, model, record).weights_sha256
    logits = draw_logits(test, share_right, seed, strength)
    embeddings = torch.nn.functional.pad(logits, (0, 4)).half()
    save_predictions(run, SplitPredictions(logits, logits.flip(0) * 0 + logits, embeddings), test, weights)
    history = [
        {
            "epoch": epoch,
            "resolution_px": 16 * epoch,
            "learning_rate": 0.1,
            "loss": 2.0 / epoch,
            "training_accuracy": 0.3 * epoch,
            "validation_accuracy": None,
            "test_accuracy": None,
            "seconds": 1.0,
            "images_per_second": 100.0,
        }
        for epoch in (1, 2)
    ]
    write_json_lines(run.history, history)
    write_json(run.training, {"epochs": 2, "seconds_training": 2.0, "images_per_second": 100.0, "test_accuracy": None})
    evaluate_run(run)
    if is_whole:
        _add_parts(run, data, logits)
        summary = summarize(model, (test.channels, *test.image_size), name="resnet20")
        write_json(run.summary, summary.to_dict())
    return run


def _add_parts(run: Run, data: Dataset, logits: Tensor) -> None:
    test, train, n = data.test, data.train, len(data.test)
    predictions = logits.argmax(1)
    generator = torch.Generator().manual_seed(1)
    positions = torch.rand(n, 2, generator=generator) * torch.tensor([3.0, 2.0])
    figures = {
        "perplexity": 30.0,
        "kl_divergence": 1.0,
        "trustworthiness": 0.9,
        "trustworthiness_n": n,
        "trustworthiness_neighbours": 5,
        "n_split": n,
    }
    settings = {"perplexity": 30.0, "seed": 0, "iterations": 750, "components": 50, "angle": 0.8, "most_images": 10_000}
    arrays = {"index": test.index, "positions": positions, "labels": test.labels, "predictions": predictions}
    save_result(
        run.inspection / "map-test.json",
        {**read_hashes(run, "test"), "split": "test", "settings": settings, **figures},
        arrays={name: value.numpy() for name, value in arrays.items()},
    )
    places = torch.randint(len(train), (n, K_NEIGHBOURS), generator=generator)
    near = {
        "index": test.index,
        "labels": test.labels,
        "predictions": predictions,
        "positions": places,
        "neighbour_index": train.index[places],
        "neighbour_labels": train.labels[places],
        "distances": torch.rand(n, K_NEIGHBOURS, generator=generator).sort(1).values,
    }
    hashes = {**read_hashes(run, "test"), "training_hash": read_hashes(run, "train")["content_hash"], "k": K_NEIGHBOURS}
    save_result(
        run.inspection / "neighbours-test.json", hashes, arrays={name: value.numpy() for name, value in near.items()}
    )
    wrong = (predictions != test.labels).nonzero().flatten()[:5]
    probabilities = logits[wrong].double().softmax(1)
    LabelCandidates(
        split="test",
        source="a test",
        n=n,
        index=test.index[wrong],
        given=test.labels[wrong],
        suggested=predictions[wrong],
        scores=probabilities.gather(1, test.labels[wrong][:, None])[:, 0],
        probabilities=probabilities,
        classes=data.classes,
        content_hash=test.content_hash,
    ).save(run)
    images = JoinedSplits({"train": train, "test": test})
    pairs = tuple(make_pair("near", images, (place, images.row("test", 2 * place)), 0.9, 0.8) for place in range(3))
    Duplicates(pairs, is_near=True, n={"train": len(train), "test": n}).save(run)
    add_groups(run, data, predictions)
    chosen = test.subset(torch.arange(min(40, n)))
    StoredExplanations.from_explanations(
        [
            _explain(chosen, logits, method, target, at)
            for at, (method, target) in enumerate(
                [("layercam-fused", "predicted"), ("layercam-fused", "true"), ("grad-cam", "predicted")]
            )
        ],
        dataset=data.name,
        content_hash=test.content_hash,
        seed=0,
        selection="the first test images",
    ).save(run)
    make_stress(data.classes, test.labels).save(run)
    make_reliance(data.classes[0]).save(run)
    figure = Estimate(0.5, (0.4, 0.6), 20)
    methods = tuple(
        MethodQuality(name, ("layer3",), (4, 4), figure, {}, None, None, figure, figure, figure, {}, 0.0)
        for name in ("layercam-fused", "grad-cam")
    )
    write_json(
        run.explanations / "quality.json",
        {
            "weights_sha256": read_hashes(run, "test")["weights_sha256"],
            **MapQuality(methods, None, 20, 0, "mean").to_dict(),
        },
    )


def make_stress(classes: tuple[str, ...], labels: Tensor) -> StressResult:
    """Make the measures of a network that loses every image whose number modulo 8 is below the strength."""
    names, n = find_corruptions(["standard", "shift"]), len(labels)
    right = torch.stack([torch.arange(n) % 8 >= strength for strength in range(6)])
    is_correct = right[1:].expand(len(names), -1, -1).clone()
    is_correct[names.index("frost"), 4] = False
    confidences = torch.full(is_correct.shape, 0.7, dtype=torch.float64)
    answers = Answers(names, labels, right[0], is_correct, confidences[0, 0], confidences)
    return answers.summarize(
        classes, n_split=n, seed=0, network="a test", source=MADE_HERE, temperature=None, content_hash="0"
    )


def make_reliance(name: str) -> Reliance:
    """Make a corner that gives a class away, and whose replacement costs the network 24 of its 40 images."""
    sign = ClassSign(name, n=50, hits=40, others=250, false_hits=1, p=1e-9, p_adjusted=1e-7)
    scores = (
        PropertyScore("top left corner", PairedCounts(5, 45, 80, 170), 1e-3, 2e-2, (sign,)),
        PropertyScore("brightness", PairedCounts(5, 45, 40, 210), 0.7, 1.0, ()),
    )
    shortcuts = Shortcuts(300, 300, 5, 0, "0", 50, scores)
    whole, of_class = PairedCounts(150, 24, 0, 26), PairedCounts(15, 24, 0, 1)
    change = Change(name, of_class, 1e-7, 1e-6)
    corner = PropertyReliance(
        *("top left corner", Change("", whole, 1e-7, 1e-6), (change,), True, 0.035),
        *(Estimate(0.05, (0.04, 0.06), 40), Estimate(0.3, (0.2, 0.4), 8)),
    )
    light = PropertyReliance(
        *("brightness", Change("", PairedCounts(170, 4, 4, 22), 1.0, 1.0), (change,), False, None, None, None)
    )
    return Reliance(shortcuts, 200, 200, 40, "layercam-fused", 0, "0", (corner, light))


def add_groups(run: Run, data: Dataset, predictions: Tensor) -> None:
    """Keep a weak group of eight images of the first class, its mistakes first, six of them wrong."""
    test = data.test
    members = (test.labels == 0).nonzero().flatten()
    is_right = predictions[members] == 0
    members = torch.cat([members[~is_right][:6], members[is_right][:2]])
    group = Group(
        description=f"dark, {embed_name(data.classes[0])}",
        conditions=(Condition("brightness", "dark", "at most", 0.25, 0.1),),
        n=8,
        wrong=6,
        rest_n=142,
        rest_wrong=30,
        expected_accuracy=0.8,
        p=1e-4,
        p_adjusted=6e-4,
        verdict="weak",
        taken_for=data.classes[1],
        taken_for_n=4,
        images=GroupImages(
            index=tuple(test.index[members].tolist()),
            sources=(None,) * len(members),
            true=(data.classes[0],) * len(members),
            predicted=tuple(data.classes[at] for at in predictions[members].tolist()),
            is_tested=(True,) * len(members),
        ),
    )
    WeakGroups(len(test), 60, (len(test) // 2, len(test) - len(test) // 2), 50, 0.05, 0, (group,), ()).save(run)


def _explain(split: ImageSplit, logits: Tensor, method: str, target: str, cell: int) -> Explanation:
    """Make maps with all of the evidence in one cell of 4 x 4."""
    own = logits[: len(split)]
    maps = torch.zeros(len(split), 4, 4)
    maps.view(len(split), -1)[:, HOT_CELL + cell] = 1.0
    classes = own.argmax(1) if target == "predicted" else split.labels
    return Explanation(
        maps=maps,
        method=method,
        layers=("layer3",),
        target=target,
        classes=classes,
        probabilities=own.softmax(1).gather(1, classes[:, None])[:, 0],
        predictions=own.argmax(1),
        labels=split.labels,
        index=split.index,
        images=split.images,
        class_names=split.classes,
        input_size=split.image_size,
    )
