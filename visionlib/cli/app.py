"""`visionlib`: all commands, and their exit codes."""

import contextlib
import errno
import logging
import os
import signal
import sys
import traceback
import warnings
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from visionlib.cli.compare import CompareCommand, compare
from visionlib.cli.console import print_error
from visionlib.cli.data import data
from visionlib.cli.demo import demo
from visionlib.cli.explain import explain
from visionlib.cli.export import export
from visionlib.cli.features import features
from visionlib.cli.groups import groups
from visionlib.cli.import_weights import import_weights
from visionlib.cli.inspect import inspect
from visionlib.cli.label_next import label_next
from visionlib.cli.lr_find import lr_find
from visionlib.cli.mistakes import mistakes
from visionlib.cli.options import is_debugging
from visionlib.cli.predict import predict
from visionlib.cli.report import report
from visionlib.cli.shortcuts import shortcuts
from visionlib.cli.stress import stress
from visionlib.cli.summary import summary
from visionlib.cli.test import test
from visionlib.cli.train import train
from visionlib.errors import VisionlibError, VisionlibWarning
from visionlib.training.launch import claim_error_report, is_launched
from visionlib.version import __version__

_INTERRUPTED = 130
_PATH_ERRORS = frozenset({errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP})
"""Of a path that the user named; looking whether it exists raises them, anywhere."""

app = typer.Typer(
    name="visionlib",
    help="Train a small-image classifier, know exactly what it sees, and show where and why it is wrong.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(demo, data, summary, lr_find, train, test, mistakes, groups, compare),
    *(inspect, explain, features, stress, shortcuts, report, predict, label_next, export),
):
    app.command(cls=CompareCommand if command is compare else None)(command)
app.command("import")(import_weights)


def _show_version(is_wanted: bool) -> bool:
    if is_wanted:
        typer.echo(f"visionlib {__version__}")
        raise typer.Exit
    return is_wanted


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Train a small-image classifier, know exactly what it sees, and show where and why it is wrong."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 wrong usage, 130 or 143 on a signal."""
    # As an exception, so that half-written files are removed on the way out.
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a home folder that cannot be written
    warnings.formatwarning = _format_warning
    try:
        code = _run(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        if isinstance(error.__context__, BrokenPipeError):  # how rich and click end: the reader has seen enough
            code = 0
    if code == _INTERRUPTED or is_launched():
        _exit_without_finalizing(code)
    sys.exit(code)


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning that is meant for users as one line, and others as Python does, with their place."""
    if issubclass(category, VisionlibWarning):
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _exit_without_finalizing(code: int) -> NoReturn:
    """End the process without finalizing the interpreter; by now all files are closed, all process groups destroyed.

    - After an interrupt within an exec(), as when a dataclass is defined, Python would end by the signal, not with 130.
    - gloo's threads outlive `destroy_process_group`. One that drops its last work object while the interpreter is
      finalized cannot take the GIL any more, and the C++ runtime aborts a process whose run is complete.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the reader of a pipe is gone
            stream.flush()
    os._exit(code)


def _run(arguments: list[str] | None) -> int:
    try:
        return int(app(arguments, prog_name="visionlib", standalone_mode=False) or 0)
    except TyperException as error:
        if message := error.format_message():
            context = getattr(error, "ctx", None)
            command = getattr(context, "command_path", "visionlib")
            _report_error(f"{message.rstrip('.')}; see `{command} --help`")
        return error.exit_code
    except VisionlibError as error:
        if is_debugging():
            traceback.print_exc()
        _report_error(str(error))
        return error.exit_code
    except BrokenPipeError:
        # Keeps the interpreter from flushing into the closed pipe at its end.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  closed with the process
        return 0
    except Exception as error:
        if is_debugging():
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno in _PATH_ERRORS and error.filename is not None:
            problem, remedy = f"cannot be opened ({error.strerror})", "name another path, or make this one accessible"
            _report_error(str(VisionlibError(os.fsdecode(error.filename), problem, remedy)))
            return 2
        text = " ".join(str(error).split())
        _report_error(f"{type(error).__name__}: {text}; this is a defect of visionlib: report it with --debug's output")
        return 1


def _report_error(message: str) -> None:
    if claim_error_report():
        print_error(message)


def _exit_on_sigterm(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
