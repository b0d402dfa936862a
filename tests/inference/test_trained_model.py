import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from visionlib.errors import RunError
from visionlib.inference.trained_model import load_model
from visionlib.runs import Run, write_json


@pytest.fixture
def copied_run(finished_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return Run(tmp_path / "run")


def test_a_model_comes_back_with_its_weights_and_its_record(finished_run: Run) -> None:
    model, record = load_model(finished_run)
    stored = load_file(finished_run.weights)
    state = model.state_dict()
    assert state.keys() == stored.keys()
    assert all(torch.equal(state[name], stored[name]) for name in stored)
    assert not model.training
    assert record.input_size == (16, 16)


def test_one_flipped_bit_in_the_weights_is_noticed(copied_run: Run) -> None:
    content = bytearray(copied_run.weights.read_bytes())
    content[-100] ^= 1
    copied_run.weights.write_bytes(content)
    with pytest.raises(RunError, match=r"model\.safetensors: is not the file that model\.json vouches for"):
        load_model(copied_run)


def test_a_run_without_weights_or_record_is_refused(copied_run: Run) -> None:
    copied_run.weights.unlink()
    with pytest.raises(RunError, match="the run lacks its weights"):
        load_model(copied_run)
    copied_run.model.unlink()
    with pytest.raises(RunError, match="the run did not finish; train it again"):
        load_model(copied_run)


def test_a_record_that_lacks_a_field_is_refused(copied_run: Run) -> None:
    write_json(copied_run.model, {"model": "resnet20", "input_size": [16, 16]})
    with pytest.raises(RunError, match=r"model\.json: is damaged \(KeyError\('classes'\)\)"):
        load_model(copied_run)
