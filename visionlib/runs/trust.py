"""Whether a run's records may name code to import and data to load.

A run folder may come from a stranger. Its records hold the name of a network, which may lead to code, and the path of
the data, which may lead anywhere on this machine or to a download. Both are followed where this user's own visionlib
wrote them, or where the user says so: `--trust` on the command line, `trust_runs()` in Python.

Own records carry an HMAC under a key that is kept outside of every run, in the user's data folder. The signature is of
the named thing alone, so that a run may be moved and copied. On another machine, or for another user, it is not valid.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any, Literal

import platformdirs

from visionlib.errors import RunError
from visionlib.runs.run import Run
from visionlib.runs.training_records import read_config

Kind = Literal["model", "dataset"]
_KEY_BYTES = 32
_is_trusting = False


def trust_runs(is_trusting: bool = True) -> None:
    """Let this process import the code, and load the data, that any run names; or stop to do so."""
    global _is_trusting
    _is_trusting = is_trusting


def sign_record(kind: Kind, value: Any) -> str | None:
    """Sign what a record names.

    Args:
        kind: of the named thing.
        value: any JSON.
    Returns:
        The signature in hexadecimal; None where the user's data folder cannot be written.
    """
    key = _load_key()
    return None if key is None else hmac.new(key, _encode(kind, value), hashlib.sha256).hexdigest()


def is_trusted(run: Run, kind: Kind, value: Any) -> bool:
    """Return whether this user's visionlib wrote what the run names, or the user trusts every run."""
    if _is_trusting:
        return True
    given = None
    with contextlib.suppress(RunError):  # no record, or one of another kind, as in a hub folder
        given = read_config(run).signatures.get(kind)
    own = sign_record(kind, value) if given is not None else None
    return given is not None and own is not None and hmac.compare_digest(own.encode(), given.encode("utf-8", "replace"))


def refuse_untrusted(run: Run, kind: Kind, value: Any, *, what: str, remedy: str) -> None:
    """Refuse to follow what a run of someone else names.

    Args:
        run: with the record.
        kind: of the named thing.
        value: the record, as it was signed.
        what: it names, in words.
        remedy: besides `--trust`.
    Raises:
        RunError: if the run is not trusted.
    """
    if not is_trusted(run, kind, value):
        problem = f"was not made here by this user, and names {what}"
        raise RunError(run.path, problem, f"{remedy}, or add --trust (in Python: visionlib.trust_runs())")


def _encode(kind: Kind, value: Any) -> bytes:
    return json.dumps([kind, value], sort_keys=True).encode()


def _load_key() -> bytes | None:
    """Read the user's key, or make it."""
    path = Path(os.environ.get("VISIONLIB_KEYS") or platformdirs.user_data_path("visionlib")) / "run-signatures.key"
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_key(path)
        key = path.read_bytes()
    except OSError:
        return None
    return key if len(key) == _KEY_BYTES else None


def _write_key(path: Path) -> None:
    """Write a new key that nobody else can read; of two processes that do it at once, the first one's stays."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
