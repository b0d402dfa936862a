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

def usual(num_classes=10, in_channels=3): return nn.Linear(in_channels, num_classes)
def short(in_chans=3, n_classes=10): return nn.Linear(in_chans, n_classes)
def camel(numClasses, inChannels=3): return nn.Linear(inChannels, numClasses)
def widths(num_classes=10, channels=(16, 32), in_channels=3): return nn.Linear(in_channels + sum(channels), num_classes)
def width(num_classes, in_channels, channels=4): return nn.Linear(in_channels * channels, num_classes)
def names(classes=("cat", "dog"), num_classes=10): return nn.Linear(len(classes), num_classes)
def passes_on(**arguments): return usual(**arguments)
def passes_one_on(**arguments): return only_num(**arguments)
def only_num(num_classes): return nn.Linear(1, num_classes)
def loses(**arguments): return fixed(**arguments)

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
    [
        ("build", (7, 1)),
        ("fixed", (10, 3)),
        ("only_classes", (7, 1)),
        ("anything", (7, 1)),
        ("usual", (7, 1)),
        ("short", (7, 1)),
        ("camel", (7, 1)),
        ("widths", (7, 49)),
        ("width", (7, 4)),
        ("names", (7, 2)),
        ("passes_on", (7, 1)),
        ("passes_one_on", (7, 1)),
        ("loses", (10, 3)),
    ],
)
def test_a_function_gets_what_it_takes(function: str, shape: tuple[int, int]) -> None:
    model = build_model(f"user_nets.tiny:{function}", classes=7, channels=1)
    assert isinstance(model, nn.Linear)
    assert model.weight.shape == shape


@pytest.mark.parametrize("name", ["user_nets/tiny.py:build", "user_nets/my-net.py:Net", "random.py:Net"])
def test_a_file_is_named_as_it_is(name: str, user_folder: Path) -> None:
    (user_folder / "user_nets" / "my-net.py").write_text(_SOURCE)
    (user_folder / "random.py").write_text(_SOURCE)  # whatever module has its name
    if name.startswith("user_nets/tiny"):
        (user_folder / "user_nets" / "user_nets").symlink_to(user_folder / "user_nets")
    model = build_model(name, classes=7, channels=1)
    assert {tuple(p.shape) for p in model.parameters()} == {(7, 1), (7,)}
    assert build_model(f"{user_folder}/{name}", classes=2, channels=1)


def test_a_file_that_was_edited_is_read_again(user_folder: Path) -> None:
    (user_folder / "mine.py").write_text("from torch import nn\ndef build(): return nn.Linear(1, 2)\n")
    assert build_model("mine.py:build").get_parameter("weight").shape == (2, 1)
    (user_folder / "mine.py").write_text("from torch import nn\ndef build(): return nn.Linear(1, 33)\n")
    assert build_model("mine.py:build").get_parameter("weight").shape == (33, 1)


def test_a_class_itself_is_built_like_its_name() -> None:
    def build(n_classes: int) -> nn.Module:
        return nn.Linear(2, n_classes)

    model = build_model(build, classes=4, seed=5)
    torch.manual_seed(5)
    assert torch.equal(model.get_parameter("weight"), nn.Linear(2, 4).weight)


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
        ("nobody.py:build", r"there is no file nobody\.py; run from the folder that holds it \(this is"),
        ("user_nets/torn.py:build", r"importing user_nets/torn\.py raised SyntaxError"),
        ("user_nets/tiny.py:biuld", r"module user_nets/tiny\.py has no function biuld; name one that it has: build"),
        ("nobody.home:build", r"there is no module nobody; run from the folder"),
        ("user_nets.tony:build", r"there is no module user_nets\.tony; run from the folder"),
        ("user_nets.lame:build", r"importing user_nets\.lame raised ModuleNotFoundError: .*no_such_package_anywhere"),
        ("user_nets.torn:build", r"importing user_nets\.torn raised SyntaxError"),
        ("user_nets.tiny:biuld", r"module user_nets\.tiny has no function biuld; name one that it has: build"),
        ("user_nets.tiny:number", r"module user_nets\.tiny has no function number"),
        ("user_nets.tiny:text", r"text\(classes=7\) returned a str; it must return a torch\.nn\.Module"),
        ("user_nets.tiny:broken", r"broken\(classes=7, channels=1\) raised RuntimeError: out of ideas; fix"),
        ("user_nets.tiny:demanding", r"demanding\(\) raised TypeError: .*'depth'; give its arguments defaults"),
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
