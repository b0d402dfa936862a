"""Decode many shards at once, in processes of their own where that is faster.

`multiprocessing` would import the user's script again, which must then be written for it; a process here is
`python -m visionlib.data.shard_worker`.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import visionlib
from visionlib.data.shard_decoding import OtherShapeError, ShardTask, decode_shard
from visionlib.errors import DataError

_LEAST_BYTES = 32 * 2**20
"""Pixels to decode from which on processes are worth their start, which takes two seconds."""

Advance = Callable[[int], None]


def decode_shards(tasks: Sequence[ShardTask], advance: Advance) -> None:
    """Decode shards in the order given, several at a time; those that are whole when one fails are kept.

    Args:
        tasks: the shards.
        advance: takes the number of rows that were decoded since its last call; called by one thread at a time.
    Raises:
        OtherShapeError, DataError: of the first shard that raises it, see `decode_shard`.
    """
    workers = min(_count_cores(), len(tasks))
    if workers < 2 or not _is_worth_processes(tasks):
        for task in tasks:
            decode_shard(task, advance)
        return
    todo: queue.SimpleQueue[ShardTask] = queue.SimpleQueue()
    for task in tasks:
        todo.put(task)
    lock = threading.Lock()

    def show(rows: int) -> None:
        with lock:
            advance(rows)

    processes = [_start_process() for _ in range(workers)]
    try:
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(_feed, process, todo, show) for process in processes]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                _drain(todo)
                for process in processes:
                    process.kill()
                raise
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _count_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _is_worth_processes(tasks: Sequence[ShardTask]) -> bool:
    """Whether there is much to decode, and another process sees the same files."""
    amount = sum(task.rows * task.shape[0] * task.shape[1] * task.shape[2] for task in tasks)
    from fsspec.registry import known_implementations  # only for shards

    protocols = {task.shard.url.partition("://")[0] for task in tasks} - {"memory"}
    return amount >= _LEAST_BYTES and bool(protocols) and protocols <= set(known_implementations)


def _start_process() -> "subprocess.Popen[str]":
    paths = [str(Path(visionlib.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.Popen(
        [sys.executable, "-m", "visionlib.data.shard_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def _feed(process: "subprocess.Popen[str]", todo: "queue.SimpleQueue[ShardTask]", advance: Advance) -> None:
    """Give a process one task after another, until there is none."""
    while True:
        try:
            task = todo.get_nowait()
        except queue.Empty:
            return
        _send(process, task)
        while (answer := _receive(process, task))[0] == "rows":
            advance(answer[1])
        if answer[0] == "shape":
            raise OtherShapeError(tuple(answer[1]))
        if answer[0] == "error":
            raise DataError(*answer[1])


def _send(process: "subprocess.Popen[str]", task: ShardTask) -> None:
    with contextlib.suppress(BrokenPipeError):  # it has died, which its answer tells
        print(json.dumps(asdict(task), default=os.fspath), file=process.stdin, flush=True)


def _receive(process: "subprocess.Popen[str]", task: ShardTask) -> tuple[str, Any]:
    line = process.stdout.readline() if process.stdout else ""
    if not line.endswith("\n"):
        problem = f"the process that decoded it died (exit status {process.wait()})"
        raise DataError(task.shard, problem, "see that there is enough memory, and try again")
    kind, content = json.loads(line)
    return kind, content


def _drain(todo: "queue.SimpleQueue[ShardTask]") -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            todo.get_nowait()
