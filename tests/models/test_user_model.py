import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from visionlib.errors import ModelError
from visionlib.models import build_model

_SOURCE = """
import torch
from torch import nn

torch.rand(1)

def build(classes, channels):
    from user_nets.parts import make_linear
    return make_linear(channels, classes)

def fixed(): return nn.Linear(3, 10)
def only_classes(*, classes=2): return nn.Linear(1, classes)
def anything(**arguments): return nn.Linear(arguments["channels"], arguments["classes"])
def text(classes): return "a network"
def broken(classes, channels): raise RuntimeError("out of\\nideas")
def demanding(depth): return nn.Linear(depth, depth)
number = 5

class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.linear = nn.Linear(channels, classes)
"""


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in a folder with a package of the user's, and forget its modules afterwards."""
    package = tmp_path / "user_nets"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tiny.py").write_text(_SOURCE)
    (package / "parts.py").write_text("from torch import nn\n\ndef make_linear(i, o): return nn.Linear(i, o)\n")
    (package / "lame.py").write_text("import no_such_package_anywhere\n")
    (package / "torn.py").write_text("def build(:\n")
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    assert sys.path == path
    for name in [name for name in sys.modules if name.partition(".")[0] == "user_nets"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("function", "shape"),
    [("build", (7, 1)), ("fixed", (10, 3)), ("only_classes", (7, 1)), ("anything", (7, 1))],
)
def test_a_function_gets_what_it_takes(function: str, shape: tuple[int, int]) -> None:
    model = build_model(f"user_nets.tiny:{function}", classes=7, channels=1)
    assert isinstance(model, nn.Linear)
    assert model.weight.shape == shape


def test_a_class_is_a_function_too() -> None:
    model = build_model("user_nets.tiny:Net", classes=7, channels=1)
    assert model.get_parameter("linear.weight").shape == (7, 1)


def test_weights_are_a_function_of_the_seed_whether_imported_before_or_not() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (build_model("user_nets.tiny:build", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.get_parameter("weight"), again.get_parameter("weight"))
    assert not torch.equal(first.get_parameter("weight"), other.get_parameter("weight"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("user_nets.tiny:", r"is not of the form package\.module:function; such as"),
        (":build", r"is not of the form package\.module:function"),
        ("user_nets/tiny:build", r"is not of the form package\.module:function"),
        (".tiny:build", r"is not of the form package\.module:function"),
        ("user_nets.tiny:a:b", r"is not of the form package\.module:function"),
        ("nobody.home:build", r"there is no module nobody; run from the folder"),
        ("user_nets.tony:build", r"there is no module user_nets\.tony; run from the folder"),
        ("user_nets.lame:build", r"importing user_nets\.lame raised ModuleNotFoundError: .*no_such_package_anywhere"),
        ("user_nets.torn:build", r"importing user_nets\.torn raised SyntaxError"),
        ("user_nets.tiny:biuld", r"module user_nets\.tiny has no function biuld; name one that it has: build"),
        ("user_nets.tiny:number", r"module user_nets\.tiny has no function number"),
        ("user_nets.tiny:text", r"text\(classes=7\) returned a str; it must return a torch\.nn\.Module"),
        ("user_nets.tiny:broken", r"broken\(classes=7, channels=1\) raised RuntimeError: out of ideas; fix"),
        ("user_nets.tiny:demanding", r"demanding\(\) raised TypeError: .*'depth'"),
    ],
)
def test_errors_say_what_to_fix_in_one_line(name: str, message: str) -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(ModelError, match=message) as caught:
        build_model(name, classes=7, channels=1)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_users_own_error_is_kept_as_the_cause() -> None:
    with pytest.raises(ModelError) as caught:
        build_model("user_nets.tiny:broken")
    assert isinstance(caught.value.__cause__, RuntimeError)
