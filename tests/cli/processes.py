"""Run the commands as a user does, in processes of their own, without the seconds that each would import torch for.

A server imports what visionlib depends on, nothing of visionlib itself, and computes nothing. Every command is forked
from it and runs as `python -m visionlib` does: own arguments, folder, environment and streams, and an exit code.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import itertools
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120
DEPENDENCIES = (
    "jinja2",
    "matplotlib.figure",
    "pyarrow.parquet",
    "pydantic.main",  # which typer imports to parse a command line
    "pydantic.types",
    "rich.markdown",
    "rich.table",
    "safetensors.torch",
    "scipy.stats",
    "sklearn.neighbors",
    "torch",
    "torch._dynamo",  # which the first step of an optimizer imports
    "typer",
    "typer.rich_utils",
)


def visionlib(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; give its exit code and what it wrote. SIGALRM ends one that takes too long."""
    (completed,) = run_forked(arguments, cwd, [environment])
    return completed


def visionlib_processes(
    count: int, *arguments: object, cwd: Path | None = None, **environment: str
) -> list[subprocess.CompletedProcess[str]]:
    """Run one command in several processes that find each other, as a launcher would start them."""
    meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(find_port()), "WORLD_SIZE": str(count)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(count)} for rank in range(count)]
    return run_forked(arguments, cwd, [{**environment, **meeting, **rank} for rank in ranks])


_PORTS = itertools.count(20_000 + os.getpid() % 500 * 20)
"""Below those that systems give out, so that nobody is given one before it is used; others for each process."""


def find_port() -> int:
    """Find a port on which nobody listens."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("localhost", port))
            return port
    raise AssertionError


def run_code(code: str, *arguments: object, cwd: Path | None = None) -> str:
    """Run a program in a process of its own, as `python -c` does; give its output."""
    (done,) = run_forked(arguments, cwd, [{}], code=code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_forked(
    arguments: Sequence[object],
    cwd: Path | None,
    environments: Sequence[dict[str, str]],
    *,
    stdin: str = "",
    code: str | None = None,
) -> list[subprocess.CompletedProcess[str]]:
    """Run a command, or a program, in one process for each of the environments, at the same time."""
    words = ["visionlib", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stdin").write_text(stdin, encoding="utf-8", newline="")
        requests: list[dict[str, Any]] = [
            {
                "argv": words,
                "code": code,
                "cwd": str(cwd or Path.cwd()),
                "environment": {**os.environ, "COLUMNS": "100", **environment},
                "stdin": f"{folder}/stdin",
                "stdout": f"{folder}/stdout{number}",
                "stderr": f"{folder}/stderr{number}",
            }
            for number, environment in enumerate(environments)
        ]
        server = start_server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(requests) + "\n")
        server.stdin.flush()
        codes = json.loads(server.stdout.readline())
        return [
            subprocess.CompletedProcess(
                words, code, *(Path(request[name]).read_bytes().decode() for name in ("stdout", "stderr"))
            )
            for code, request in zip(codes, requests, strict=True)
        ]


@functools.cache
def start_server() -> "subprocess.Popen[str]":
    """One server for this process, which ends with it."""
    command = [sys.executable, __file__]
    # The number of threads is read when torch is imported; a command is given its environment after that.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    atexit.register(server.communicate)  # closes its input, at which it ends
    return server


def serve() -> dict[str, Any]:
    """Read requests, a list per line, fork for each, and answer with the exit codes; return only in a fork, its own."""
    atexit.register(skip_teardown)  # the first to be registered is the last to be called
    for module in DEPENDENCIES:
        importlib.import_module(module)
    gc.freeze()  # else each process spends a second at its end on looking through what it never touched
    for line in sys.stdin:
        children = []
        requests: list[dict[str, Any]] = json.loads(line)
        for request in requests:
            child = os.fork()
            if child == 0:
                become(request)
                return request
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        sys.stdout.write(f"{json.dumps(codes)}\n")
        sys.stdout.flush()
    os._exit(0)


def become(request: dict[str, Any]) -> None:
    """Turn this process into one that a shell would have started."""
    signal.alarm(TIMEOUT_S)
    for descriptor, path, flags in (
        (0, request["stdin"], os.O_RDONLY),
        (1, request["stdout"], os.O_WRONLY | os.O_CREAT),
        (2, request["stderr"], os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  without what the server's own has read ahead
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    sys.path[0:1] = [request["cwd"], str(ROOT)]


exit_codes: list[int] = []
"""Of this process, once its command has ended."""


def skip_teardown() -> None:
    """End before the interpreter frees, in a third of a second, all that the server imported."""
    if exit_codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_codes[0])


if __name__ == "__main__":
    own = serve()
    try:
        if own["code"] is None:
            runpy.run_module("visionlib", run_name="__main__", alter_sys=True)
        else:
            exec(compile(own["code"], "<code>", "exec"), {"__name__": "__main__"})
            exit_codes.append(0)
    except SystemExit as end:
        exit_codes.append(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise
