"""A process that decodes shards: it reads a task per line from stdin, and writes progress and results to stdout.

When its parent is gone, its next line of progress fails, and it ends.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from visionlib.data.shard_decoding import OtherShapeError, ShardTask, decode_shard
from visionlib.data.shard_files import ShardFile
from visionlib.errors import VisionlibError


def _read_task(line: str) -> ShardTask:
    values = json.loads(line)
    return ShardTask(
        **{
            **values,
            "shard": ShardFile(**values["shard"]),
            "shape": tuple(values["shape"]),
            "names": tuple(values["names"]),
            "pixels": Path(values["pixels"]),
            "record": Path(values["record"]),
        }
    )


def _answer(kind: str, content: Any) -> None:
    sys.stdout.write(json.dumps([kind, content]) + "\n")
    sys.stdout.flush()


def _work() -> None:
    """Decode the tasks that come in."""
    for line in sys.stdin:
        try:
            decode_shard(_read_task(line), lambda rows: _answer("rows", rows))
        except OtherShapeError as error:
            _answer("shape", error.shape)
        except VisionlibError as error:
            _answer("error", [error.what, error.problem, error.remedy])
        except OSError as error:
            _answer("error", [error.filename or "decoding", f"failed ({error.strerror})", "see to it, and try again"])
        else:
            _answer("done", None)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        _work()
