"""Run the commands as a user does, in processes of their own, without the seconds that each would import torch for.

A server imports what visionlib depends on, nothing of visionlib itself, and computes nothing. Every command is forked
from it and runs as `python -m visionlib` does: own arguments, folder, environment and streams, and an exit code.
"""

import functools
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120
DEPENDENCIES = (
    "jinja2",
    "matplotlib.figure",
    "pyarrow.parquet",
    "rich.table",
    "safetensors.torch",
    "scipy.stats",
    "sklearn.neighbors",
    "torch",
    "typer",
)


def visionlib(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; give its exit code and what it wrote. SIGALRM ends one that takes too long."""
    words = ["visionlib", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        request = {
            "argv": words,
            "cwd": str(cwd or Path.cwd()),
            "environment": {**os.environ, "COLUMNS": "100", **environment},
            "stdout": f"{folder}/stdout",
            "stderr": f"{folder}/stderr",
        }
        server = start_server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        texts = [Path(folder, name).read_bytes().decode() for name in ("stdout", "stderr")]
    return subprocess.CompletedProcess(words, code, *texts)


@functools.cache
def start_server() -> "subprocess.Popen[str]":
    """One server for this process, which ends with it."""
    command = [sys.executable, __file__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def serve() -> None:
    """Read a request per line, fork, and answer with the exit code; return only in the forked process."""
    for module in DEPENDENCIES:
        importlib.import_module(module)
    gc.freeze()  # else each process spends a second at its end on looking through what it never touched
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    os._exit(0)


def become(request: dict[str, Any]) -> None:
    """Turn this process into one that a shell would have started."""
    signal.alarm(TIMEOUT_S)
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["stdout"], os.O_WRONLY | os.O_CREAT),
        (2, request["stderr"], os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    sys.path[0:1] = [request["cwd"], str(ROOT)]


if __name__ == "__main__":
    serve()
    runpy.run_module("visionlib", run_name="__main__", alter_sys=True)
