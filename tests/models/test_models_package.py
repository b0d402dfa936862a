import subprocess
import sys
from types import ModuleType

import visionlib.models


def test_names_need_no_torch() -> None:
    code = (
        "import sys; from visionlib.models.names import MODEL_NAMES; from visionlib.models import MODEL_NAMES as again;"
        "assert again is MODEL_NAMES; print('torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"


def test_every_export_is_there_twice() -> None:
    for name in dir(visionlib.models) * 2:
        assert getattr(visionlib.models, name) is not None
    # The second time: no module that was imported by then may have replaced an export of the same name.
    assert not any(isinstance(getattr(visionlib.models, name), ModuleType) for name in dir(visionlib.models))
