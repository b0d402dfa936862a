"""Give hostile, damaged and odd inputs to every command, and count how each ends.

.venv/bin/python -m bench.bad_input [--seconds 900]

Inputs are paths for what is no dataset, and run folders with one file damaged; each goes to every command that takes
such a path. Right is exit code 1 or 2 within 30 s, with one line `error: ...` that calls nothing a defect, and the
input as it was. Odd but honest datasets are counted apart: they must be accepted.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench import forked

TIMEOUT_S = 30
RUN_COMMANDS: tuple[tuple[str, ...], ...] = (
    *(("summary", "INPUT"), ("test", "INPUT"), ("test", "INPUT", "--predict"), ("mistakes", "INPUT")),
    *(("compare", "INPUT", "INPUT"), ("inspect", "INPUT"), ("explain", "INPUT"), ("features", "INPUT")),
    *(("report", "INPUT"), ("export", "INPUT", "--to", "hub", "--out", "made")),
    *(("predict", "INPUT", "pictures/test/dark/0.png"), ("train", "--resume", "INPUT")),
    ("train", "pictures", "--init", "INPUT", "--model", "networks:tiny", "--out", "made"),
)
DATA_COMMANDS: tuple[tuple[str, ...], ...] = (
    *(("data", "INPUT"), ("train", "INPUT", "--out", "made"), ("lr-find", "INPUT")),
    *(
        ("predict", "whole", "INPUT"),
        ("test", "whole", "--dataset", "INPUT"),
        ("explain", "whole", "--dataset", "INPUT"),
    ),
    *(("import", "INPUT", "--out", "made"), ("summary", "INPUT"), ("train", "pictures", "--config", "INPUT")),
)


def _noise(n: int) -> bytes:
    return np.random.default_rng(0).bytes(n)


def _write(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return write


def _below(name: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        (path / name).parent.mkdir(parents=True)
        make(path / name)

    return act


PATHS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "nothing": ("absent", lambda path: None),
    "empty file": ("empty", _write(b"")),
    "noise": ("noise", _write(_noise(5000))),
    "noise as PNG": ("noise.png", _write(b"\x89PNG\r\n\x1a\n" + _noise(500))),
    "noise as tar.gz": ("noise.tar.gz", _write(_noise(5000))),
    "noise as parquet": ("noise.parquet", _write(b"PAR1" + _noise(500) + b"PAR1")),
    "noise as safetensors": ("noise.safetensors", _write(b"\x10" + bytes(7) + b"{" + _noise(500))),
    "noise as checkpoint": ("noise.pt", _write(b"PK\x03\x04" + _noise(500))),
    "pickle": ("evil.pt", _write(b"\x80\x02cposix\nabort\n)R.")),
    "deep TOML": ("deep.toml", _write(b"a = " + b"[" * 5000)),
    "empty folder": ("folder", lambda path: path.mkdir()),
    "named pipe": ("pipe.png", lambda path: os.mkfifo(path)),
    "dangling link": ("link", lambda path: path.symlink_to("absent")),
    "link to itself": ("loop", lambda path: path.symlink_to(path)),
    "newline in the name": ("two\nlines", lambda path: path.mkdir()),
    "name that is not UTF-8": ("caf\udce9", lambda path: path.mkdir()),
    "name too long": ("n" * 300, lambda path: None),
    "markup": ("<script>{{7*7}}", lambda path: path.mkdir()),
    "folder of a broken picture": ("broken", _below("train/cat/1.png", _write(_noise(100)))),
    "folder of a named pipe": ("pipes", _below("train/cat/1.png", lambda path: os.mkfifo(path))),
    "folder of an empty class": ("classless", _below("train/cat", lambda path: path.mkdir())),
    "IDX of noise": ("idx", _below("train-images-idx3-ubyte", _write(_noise(100)))),
    "CIFAR of noise": ("cifar", _below("data_batch_1", _write(_noise(100)))),
}
DAMAGES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    f"{name} {kind}": (name, act)
    for name in ("config.json", "model.json", "model.safetensors", "predictions.npz", "evaluation.json", "summary.json")
    for kind, act in {
        "is empty": lambda path: path.write_bytes(b""),
        "is noise": lambda path: path.write_bytes(_noise(200)),
        "is cut": lambda path: path.write_bytes(path.read_bytes()[:-60]),
        "is a folder": lambda path: (path.unlink(), path.mkdir()),
        "is a list": lambda path: path.write_bytes(b"[]"),
        "is a newer record": lambda path: path.write_bytes(b'{"schema_version": 999}'),
        "is an empty record": lambda path: path.write_bytes(b'{"schema_version": 1}'),
    }.items()
}


def _odd_datasets(home: Path) -> dict[str, Path]:
    """Make datasets that are odd and honest."""
    pixels = (np.arange(12 * 12 * 3) % 251).astype(np.uint8).reshape(12, 12, 3)
    picture = Image.fromarray(pixels)
    saves: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        **{mode: (picture.convert(mode), "png", {}) for mode in ("1", "L", "LA", "P", "RGBA")},
        "CMYK": (picture.convert("CMYK"), "jpeg", {}),
        "16 bits": (Image.fromarray(pixels[..., 0].astype(np.uint16) * 256), "png", {}),
        "animation": (picture, "webp", {"save_all": True, "append_images": [picture]}),
        "one pixel": (picture.resize((1, 1)), "png", {}),
        "wide": (picture.resize((300, 2)), "bmp", {}),
        "capital suffix": (picture, "PNG", {}),
    }
    names = (
        "two words",
        "größe 猫",
        "=1+1",
        "<b>",
        "{{7*7}}",
        "-",
        "--help",
        "café\udce9",
        "a\nb",
        "..x",
        "$HOME",
        "%s",
    )
    made = {}
    for name, (image, suffix, options) in saves.items():
        made[name] = home / name
        _fill(made[name], ("a", "b"), image, suffix, options)
    for number, name in enumerate(names):
        made[f"class {name!r}"] = home / f"class{number}"
        _fill(home / f"class{number}", (name, "other"), picture, "png", {})
    return made


def _fill(home: Path, classes: tuple[str, ...], image: Image.Image, suffix: str, options: dict[str, Any]) -> None:
    for split in ("train", "test"):
        for name in classes:
            (home / split / name).mkdir(parents=True)
            for number in range(3):
                image.save(home / split / name / f"{number}.{suffix}", **options)


@contextlib.contextmanager
def _timed(rank: int) -> Iterator[None]:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(TIMEOUT_S)
    yield


def run(arguments: tuple[str, ...]) -> tuple[int, str]:
    """Run a command for at most 30 s."""
    (code,) = forked.wait(forked.start(arguments, around=_timed))
    return code, Path("output0").read_text(errors="replace")


def judge(arguments: tuple[str, ...], code: int, text: str) -> str:
    """Return what is wrong with the end of a command that should refuse its input; empty if nothing is."""
    errors = [line for line in text.splitlines() if line.startswith("error:")]
    if code not in {1, 2} or len(errors) != 1 or "defect of visionlib" in text or "Traceback" in text:
        return f"{' '.join(arguments)!r} ended with {code}: {text[-300:]!r}"
    return ""


def _list_cases() -> list[tuple[str, str, Callable[[Path], Any], tuple[str, ...], bool]]:
    """List every path and every damage with every command that takes such a one."""
    paths = [
        (name, file, make, command, False)
        for name, (file, make) in PATHS.items()
        for command in (*DATA_COMMANDS, *RUN_COMMANDS)
        if (name, "--config" in command) != ("empty file", True)  # which is valid TOML
    ]
    runs = [(name, file, damage, command, True) for name, (file, damage) in DAMAGES.items() for command in RUN_COMMANDS]
    return [*paths, *runs]


def main() -> int:
    """Print the counts, and what went wrong; return whether anything did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=900, help="end after this time, with what was done")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.update(VISIONLIB_KEYS=f"{folder}/keys", VISIONLIB_CACHE=f"{folder}/cache", NO_COLOR="1")
        forked.write_inputs(Path(folder))
        code, text = run((*forked.TRAIN, "--epochs", "1", "--out", "whole"))
        assert code == 0, text
        assert run(("test", "whole"))[0] == 0
        cases = _list_cases()
        random.Random(0).shuffle(cases)  # noqa: S311  so that a short run is a sample
        for name, file, make, command, is_run in cases:
            if time.monotonic() < end:
                shutil.rmtree("input", ignore_errors=True)
                if is_run:
                    shutil.copytree("whole", "input")
                else:
                    Path("input").mkdir()
                make(Path("input") / file)
                path = "input" if is_run else f"input/{file}"
                arguments = tuple(path if word == "INPUT" else word for word in command)
                kind = "damaged runs" if is_run else "paths"
                _count(f"{kind}: {name}", kind, arguments, counts, wrong, may_succeed=is_run)
        for name, path in _odd_datasets(Path("odd")).items():
            code, text = run(("data", str(path)))
            counts["odd and honest: accepted" if code == 0 else "odd and honest: refused"] += 1
            wrong += [f"{name}: {text[-300:]!r}"] if code else []
        os.chdir("/")
    for name, count in sorted(counts.items()):
        sys.stdout.write(f"{count:>6}  {name}\n")
    sys.stdout.write(f"torch {torch.__version__}{'; cut short' if time.monotonic() > end else ''}\n")
    sys.stdout.writelines(f"wrong: {problem}\n" for problem in wrong)
    return int(bool(wrong))


def _count(
    what: str,
    kind: str,
    arguments: tuple[str, ...],
    counts: Counter[str],
    wrong: list[str],
    *,
    may_succeed: bool = False,
) -> None:
    """Run a command on an input; a command that does not need a damaged file may succeed without it."""
    shutil.rmtree("made", ignore_errors=True)
    code, text = run(arguments)
    if code == 0 and may_succeed:
        counts[f"{kind}: not needed"] += 1
    elif problem := judge(arguments, code, text):
        counts[f"{kind}: wrong"] += 1
        wrong.append(f"{what}: {problem}")
    else:
        counts[f"{kind}: refused in one line"] += 1


if __name__ == "__main__":
    sys.exit(main())
