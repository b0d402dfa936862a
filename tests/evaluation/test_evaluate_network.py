"""A network in memory: scored as its run is, left as it was, the same in one process or two."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.cli.processes import run_forked
from visionlib.data import Dataset
from visionlib.errors import ConfigError, DataError, ModelError
from visionlib.evaluation import evaluate
from visionlib.inference.run_model import load_model
from visionlib.inference.trained_model import TrainedModel
from visionlib.runs import Run


def test_a_network_is_scored_as_its_run_is(finished_run: Run, small_shapes: Dataset) -> None:
    model, record = load_model(finished_run)
    of_run = evaluate(finished_run)
    alone = evaluate(model, small_shapes.test, mean=record.mean, std=record.std)
    assert {**alone.to_dict(), "temperature_note": ""} == {**of_run.to_dict(), "temperature_note": ""}
    assert "evaluate a run to get it" in alone.temperature_note
    # The run was trained on all training images, so their mean and std are the dataset's.
    assert evaluate(model, small_shapes) == alone


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_any_batch_size_gives_the_same_figures(finished_run: Run, small_shapes: Dataset, batch_size: int) -> None:
    model, _ = load_model(finished_run)
    assert evaluate(model, small_shapes, batch_size=batch_size) == evaluate(model, small_shapes)


def test_the_network_is_afterwards_as_it_was(finished_run: Run, small_shapes: Dataset) -> None:
    model, _ = load_model(finished_run)
    model.train()
    next(model.children()).eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = evaluate(model, small_shapes)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert evaluate(model, small_shapes) == first


class _Fixed(nn.Module):
    """Gives the same logits for every image, as many as there are classes or not."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def test_a_channel_of_one_value_everywhere_divides_by_one(small_shapes: Dataset) -> None:
    flat = {name: small_shapes.splits[name].subset(torch.arange(20)) for name in ("train", "test")}
    for split in flat.values():
        split.images.fill_(9)
    k = len(small_shapes.classes)
    evaluation = evaluate(_Fixed(1.0, *[0.0] * (k - 1)), Dataset("flat", flat, small_shapes.classes))
    assert evaluation.correct == int((flat["test"].labels == 0).sum())


def test_what_cannot_be_scored_is_refused(small_shapes: Dataset) -> None:
    model = _Fixed(1.0, 0.0)
    with pytest.raises(
        ConfigError, match="mean, std: are not known of a network alone; give those that it was trained"
    ):
        evaluate(model, small_shapes.test)
    with pytest.raises(ConfigError, match="split: there is none to score the network on"):
        evaluate(model)  # type: ignore[call-overload]
    k = len(small_shapes.classes)
    with pytest.raises(ModelError, match=f"_Fixed: gives 2 logits and the images are of {k} classes"):
        evaluate(model, small_shapes)
    only_train = Dataset("half", {"train": small_shapes.train}, small_shapes.classes)
    with pytest.raises(DataError, match="half: has no split 'test'"):
        evaluate(model, only_train)


def test_no_images_have_no_figures(small_shapes: Dataset) -> None:
    none = small_shapes.test.subset(torch.zeros(0, dtype=torch.int64))
    k = len(small_shapes.classes)
    evaluation = evaluate(_Fixed(*[0.0] * k), none, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert (evaluation.n, evaluation.accuracy, evaluation.loss) == (0, None, None)


_HALVES = """
import json, os, sys
import torch
import torch.distributed as dist
from visionlib.data import load_dataset
from visionlib.data.shapes import load_shapes
from visionlib.inference.prediction import predict_logits
from visionlib.runs import open_run
from visionlib.inference.run_model import load_model
from visionlib.inference.trained_model import TrainedModel
from visionlib.training.distributed import ProcessGroup

rank, run, address = int(os.environ["RANK"]), sys.argv[1], sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
test = load_shapes(n_train=200, n_test=70, image_size=16).test
model, record = load_model(open_run(run))
own = ProcessGroup(rank, 2).shard(torch.arange(len(test)))
logits = predict_logits(model, test.images[own], mean=record.mean, std=record.std, batch_size=9)
parts = [None, None]
dist.all_gather_object(parts, (logits, test.labels[own]))
if rank == 0:
    from visionlib.evaluation import score_logits

    logits, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    union = score_logits(logits, labels, record.classes)
    print(json.dumps(union.to_dict()))
dist.destroy_process_group()
"""


def test_two_processes_with_half_of_the_images_each_give_the_same_figures(
    finished_run: Run, small_shapes: Dataset, tmp_path: Path
) -> None:
    ranks = [{"RANK": "0"}, {"RANK": "1"}]
    done = run_forked([finished_run.path, tmp_path / "meeting"], tmp_path, ranks, code=_HALVES)
    assert [process.returncode for process in done] == [0, 0], done
    printed = json.loads(done[0].stdout)
    model, _ = load_model(finished_run)
    alone = evaluate(model, small_shapes).to_dict()
    different = {"mirror_accuracy", "mirror_confidence_interval", "temperature_note"}
    assert {key: value for key, value in printed.items() if key not in different} == {
        key: value for key, value in alone.items() if key not in different
    }


def test_a_trained_model_brings_its_preprocessing(finished_run: Run, small_shapes: Dataset) -> None:
    model = TrainedModel.from_run(finished_run, device="cpu")
    assert evaluate(model, small_shapes.test) == evaluate(model, small_shapes) == evaluate(model.network, small_shapes)
