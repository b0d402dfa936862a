import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from visionlib.cli.settings import resolve_config
from visionlib.errors import ConfigError, ModelError
from visionlib.models import build_model, load_weights
from visionlib.models.checkpoints import read_weights
from visionlib.models.initial_weights import open_weights
from visionlib.models.state_file import encode_state, save_state


def small(seed: int, classes: int = 10) -> nn.Module:
    return build_model("resnet20", classes=classes, seed=seed)


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A network whose statistics and counters are no longer those of a new one."""
    model = small(1)
    with torch.no_grad():
        model(torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    return model


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def with_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"net": state, "acc": 95.1, "epoch": 200},
        lambda state: {"net": with_prefix(state, "module."), "acc": 95.1, "epoch": 200},
        lambda state: {"state_dict": with_prefix(state, "module."), "best_prec1": torch.tensor(91.7)},
        lambda state: {"state_dict": state, "best_prec1": 91.7},
        lambda state: {"model": {"state_dict": with_prefix(state, "module._orig_mod.")}, "optimizer": {"lr": 0.1}},
        lambda state: {"model_state_dict": state},
    ],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_torch_checkpoints_load(wrap: Callable[[Any], Any], is_zip: bool, trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.any_name"
    torch.save(wrap(state_of(trained)), path, _use_new_zipfile_serialization=is_zip)
    model = small(2)
    load_weights(model, path)
    assert same(state_of(model), state_of(trained))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors_load_whatever_the_file_is_called(prefix: str, trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save_file(with_prefix(state_of(trained), prefix), path)
    model = small(2)
    load_weights(model, str(path))
    assert same(state_of(model), state_of(trained))


def test_a_wrapped_model_takes_bare_names(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(state_of(trained), path)
    wrapped = nn.ModuleDict({"module": small(2)})
    load_weights(wrapped, path)
    assert same(state_of(wrapped), with_prefix(state_of(trained), "module."))


def test_counters_may_be_absent_and_keep_their_value(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(without_counters(state_of(trained)), path)
    model = small(2)
    load_weights(model, path)
    assert same(without_counters(state_of(model)), without_counters(state_of(trained)))
    assert int(state_of(model)["bn1.num_batches_tracked"]) == 0
    assert int(state_of(trained)["bn1.num_batches_tracked"]) == 1


def test_half_precision_weights_take_the_models_format(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({name: value.half() for name, value in state_of(trained).items()}, path)
    model = small(2)
    load_weights(model, path)
    assert torch.equal(model.get_parameter("linear.bias"), trained.get_parameter("linear.bias").half().float())
    assert model.get_parameter("linear.bias").dtype == torch.float32


def refuse(model: nn.Module, path: Path, message: str) -> ModelError:
    """Check that a file is refused in one line that names it, and that the model has not changed."""
    before = state_of(model)
    with pytest.raises(ModelError, match=message) as caught:
        load_weights(model, path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert "weights_only" not in text
    assert same(state_of(model), before)
    return caught.value


def change(state: dict[str, Tensor], name: str, value: float) -> dict[str, Tensor]:
    """Spoil one number of the last tensor, so that whoever copies while checking has copied the others by then."""
    state[name].view(-1)[-1] = value
    return state


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: {n: v for n, v in s.items() if "linear" not in n}, r"2 missing \(first linear\.weight\); build"),
        (lambda s: {**s, "fc.weight": torch.ones(1)}, r"another model: 1 unexpected \(first fc\.weight\)"),
        (
            lambda s: {("fc.bias" if n == "linear.bias" else n): v for n, v in s.items()},
            r"1 missing \(first linear\.bias\), 1 unexpected \(first fc\.bias\)",
        ),
        (lambda s: change(s, "linear.bias", float("nan")), r"linear\.bias holds NaN or infinity"),
        (lambda s: change(s, "linear.bias", float("inf")), r"linear\.bias holds NaN or infinity"),
        (lambda s: change(s, "bn1.running_var", float("-inf")), r"bn1\.running_var holds NaN or infinity"),
        (lambda s: {**s, "linear.bias": torch.ones(10, dtype=torch.int8)}, r"linear\.bias is torch\.int8, and"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(
    spoil: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str, trained: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(spoil(state_of(trained)), path)
    refuse(small(2), path, message)


def test_another_number_of_classes_is_told_with_both_shapes(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(small(1, classes=100).state_dict(), path)
    refuse(small(2), path, r"linear\.weight is \(100, 64\), and the model has \(10, 64\), and 1 more differ; build")


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(build_model("resnet32").state_dict(), path)
    refuse(small(2), path, r"72 unexpected \(first layer1\.3\.conv1\.weight\)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "holds a? ?list; the weights must be named tensors"),
        ({}, "holds nothing; the weights must be named tensors"),
        ({"weights": {"a": torch.ones(2)}}, "'weights' is a dict, not a dense tensor; .* net, state_dict, model"),
        ({"epoch": 3}, "'epoch' is a int, not a dense tensor"),
    ],
)
def test_what_holds_no_named_tensors_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    refuse(small(2), path, message)


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("writer", ["zip", "legacy", "pickle"])
def test_a_malicious_pickle_does_not_run(writer: str, trained: nn.Module, tmp_path: Path) -> None:
    path, victim = tmp_path / "weights.pt", tmp_path / "victim"
    content = {"net": state_of(trained), "acc": Malicious(victim)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "zip")
    error = refuse(small(2), path, "files that need unpickling are refused, .*; .*safetensors.torch.save_file")
    assert error.__suppress_context__
    assert not victim.exists()
    if writer == "pickle":
        pickle.loads(path.read_bytes())
        assert victim.exists(), "the file was harmless, and the test proved nothing"


@pytest.mark.parametrize("cut", [9, 60, 1000, 200_000])
def test_a_cut_file_is_refused(cut: int, trained: nn.Module, tmp_path: Path) -> None:
    for name in ("weights.safetensors", "zip.pt", "legacy.pt"):
        path = tmp_path / name
        if name == "weights.safetensors":
            save_file(state_of(trained), path)
        else:
            torch.save(trained.state_dict(), path, _use_new_zipfile_serialization=name == "zip.pt")
        path.write_bytes(path.read_bytes()[:cut])
        refuse(small(2), path, "damaged|refused")


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>404", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_weight_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    refuse(small(2), path, "is no weight file; name a safetensors file or a torch checkpoint")


def test_absent_files_and_folders_are_told(tmp_path: Path) -> None:
    refuse(small(2), tmp_path / "absent.pt", "there is no such weight file; check the path")
    refuse(small(2), tmp_path, "cannot be read")


class Picky(nn.Linear):
    """Its extra state is kept, and refused when it comes back."""

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 1}

    def set_extra_state(self, state: object) -> None:
        raise ValueError(f"not {state}")


def test_a_network_that_refuses_its_extra_state_is_told_with_its_reason(tmp_path: Path) -> None:
    save_state(Picky(2, 2), tmp_path / "model.safetensors")
    problem = (
        r"model\.safetensors: cannot be loaded \(not \{'calls': 1\}\); build the model that the file was saved from"
    )
    with pytest.raises(ModelError, match=problem):
        load_weights(Picky(2, 2), tmp_path / "model.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(ModelError, match=r"pipe\.pt: is no file; name a weight file"):
        load_weights(small(0), tmp_path / "pipe.pt")
    with pytest.raises(ModelError, match=r"pipe\.pt: is no file of weights; name a weight file, or a folder with one"):
        open_weights(tmp_path / "pipe.pt")
    with pytest.raises(ConfigError, match=r"pipe\.pt: is no file; name a TOML file with --config"):
        resolve_config("auto", tmp_path / "pipe.pt", {})


@pytest.mark.parametrize(
    "header",
    [
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}',
        '{"__metadata__":{"x":"1","x":"2"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}',
    ],
)
def test_a_header_that_names_a_thing_twice_is_refused(header: str, tmp_path: Path) -> None:
    file = tmp_path / "twice.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(4))
    with pytest.raises(ModelError, match=r"twice\.safetensors: is a damaged safetensors file \(.*(twice|duplicate)"):
        read_weights(file)


class Extra(nn.Linear):
    """Has extra state of any kind, and a second name for its weight."""

    def __init__(self, value: object) -> None:
        super().__init__(2, 2)
        self.value, self.second = value, self.weight

    def get_extra_state(self) -> object:
        return self.value

    def set_extra_state(self, state: object) -> None:
        self.value = state


def test_tied_weights_and_extra_state_come_back(tmp_path: Path) -> None:
    model, other = Extra({"calls": 3}), Extra(None)
    save_state(model, tmp_path / "model.safetensors")
    load_weights(other, tmp_path / "model.safetensors")
    assert other.value == {"calls": 3}
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(other.second, model.weight)


def test_extra_state_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    problem = r"network: its entry _extra_state is a function that a run cannot keep; let get_extra_state return"
    with pytest.raises(ModelError, match=problem):
        save_state(Extra(lambda: None), tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_damaged_extra_state_is_told(tmp_path: Path) -> None:
    tensors, metadata = encode_state(Extra({"calls": 3}))
    tensors["_extra_state"] = tensors["_extra_state"][:-9]
    save_file(tensors, tmp_path / "model.safetensors", metadata)
    with pytest.raises(ModelError, match=r"model\.safetensors: holds a damaged entry \(.*\); restore the file"):
        load_weights(Extra(None), tmp_path / "model.safetensors")


def test_an_average_of_weights_loads_without_its_counter(trained: nn.Module, tmp_path: Path) -> None:
    average = torch.optim.swa_utils.AveragedModel(trained)
    torch.save(average.state_dict(), tmp_path / "weights.pt")
    model = small(2)
    load_weights(model, tmp_path / "weights.pt")
    assert same(state_of(model), state_of(trained))


@pytest.mark.parametrize(("value", "is_good"), [(float("-inf"), True), (float("nan"), False)])
def test_a_mask_may_hold_infinity_but_not_nan(value: float, is_good: bool, tmp_path: Path) -> None:
    def masked(number: float) -> nn.Module:
        model = nn.Linear(2, 2)
        model.register_buffer("mask", torch.tensor([0.0, number]))
        return model

    path = tmp_path / "weights.safetensors"
    save_file(masked(value).state_dict(), path)
    model = masked(1.0)
    if is_good:
        load_weights(model, path)
        assert model.get_buffer("mask").tolist() == [0.0, value]
    else:
        refuse(model, path, "mask holds NaN or infinity")
    load_weights(model := masked(value), path)  # what the network itself begins with is no damage
    assert str(model.get_buffer("mask").tolist()) == str([0.0, value])
