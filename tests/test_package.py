import subprocess
import sys

import pytest

import visionlib


def test_importing_the_library_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, visionlib, visionlib.cli.app\n"
        "print([m for m in ('torch', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert {"train", "Dataset", "__version__"} <= set(dir(visionlib))
    for name in dir(visionlib):
        assert getattr(visionlib, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="No visionlib attribute trian"):
        visionlib.trian  # type: ignore[attr-defined]  # noqa: B018
