"""Start several processes of the same command, and end them together, by torchrun's launcher."""

import itertools
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from visionlib.errors import ConfigError, TrainingError

_PACKAGES = Path(__file__).parents[2]
"""The folder that holds this package, which needs no installation."""
_START = """import sys
sys.path.append(sys.argv.pop(1))
sys.argv[0] = "visionlib"
from visionlib.cli.app import main
main()"""
_POLL_INTERVAL_S = 0.1
_GRACE_S = 3.0
_ERROR_CLAIM = "VISIONLIB_ERROR_CLAIM"
"""Environment variable with the path of a file, which the process that reports an error creates first."""


def launch_processes(count: int, arguments: Sequence[str]) -> int:
    """Run `visionlib` with these arguments in several processes on this machine, until all of them have ended.

    If one dies, the others are ended at once.

    Args:
        count: number of processes.
        arguments: of the command line, the same for each process; its rank is in its environment.
    Returns:
        The exit code: that of the process that failed first, or 0.
    Raises:
        ConfigError: if there are fewer GPUs, or the count is below 1.
        TrainingError: if one was killed, and so could not report why.
    """
    import torch

    if count < 1:
        raise ConfigError("--devices", f"{count} cannot train", "set at least 1")
    if torch.cuda.is_available() and not _is_on_cpu(arguments) and count > torch.cuda.device_count():
        raise ConfigError(
            "--devices", f"{count} are asked for and there are {torch.cuda.device_count()} GPUs", "take fewer"
        )
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # The launcher would log a table for every failure that a process reports in one line. This process logs nothing.
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="visionlib-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id="visionlib",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=_POLL_INTERVAL_S,
            logs_specs=DefaultLogsSpecs(folder),
        )
        os.environ[_ERROR_CLAIM] = str(Path(folder) / "error-reported")
        try:
            # -P and not -m, which would import modules from the current folder before the installed ones.
            elastic_launch(config, sys.executable)("-P", "-c", _START, str(_PACKAGES), *arguments)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if failure.exitcode > 0 or not claim_error_report():
                return max(failure.exitcode, 1)
            raise TrainingError(
                f"process {rank} of {count}",
                f"was ended by {signal.Signals(-failure.exitcode).name}, and so the others were, too",
                "go on with --resume RUN; if memory ran out, take fewer --devices",
            ) from error
        except SignalException as error:
            return 128 + error.sigval
        finally:
            del os.environ[_ERROR_CLAIM]
    return 0


def is_launched() -> bool:
    """Whether this process is one of several already."""
    return "WORLD_SIZE" in os.environ


def claim_error_report() -> bool:
    """Claim the right to report an error; true once, in one of the processes that were launched.

    So an error of all processes, such as an absent dataset, is reported once; with torchrun once on each machine. All
    but the first wait before: the launcher most likely ends them meanwhile. A process of any other launcher always has
    that right.
    """
    claim, torchrun = os.environ.get(_ERROR_CLAIM), os.environ.get("TORCHELASTIC_ERROR_FILE")
    if claim is None and os.environ.get("RANK", "0") != "0":
        time.sleep(_GRACE_S)
    if claim is None and torchrun is None:
        return True
    try:
        # Of torchrun's file for this process, the folder is that of this start of all processes on this machine.
        path = Path(torchrun).parents[1] / "error-reported" if claim is None and torchrun else Path(claim or "")
        path.touch(exist_ok=False)
    except OSError:  # claimed already, or the launcher has ended
        return False
    return True


def _is_on_cpu(arguments: Sequence[str]) -> bool:
    return "--device=cpu" in arguments or ("--device", "cpu") in itertools.pairwise(arguments)
