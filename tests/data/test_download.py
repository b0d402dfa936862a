"""Looking for, fetching and verifying archives, against a server on this machine and against none."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from bench.disk_faults import Fault, watching
from tests.data import containers
from visionlib.data import load_dataset
from visionlib.data.download import OFFICIAL, Archive, Official, find_official
from visionlib.errors import DataError
from visionlib.runs import hash_file

NOWHERE = "http://127.0.0.1:9"  # the discard port, where nobody listens


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VISIONLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def archive_file(tmp_path: Path) -> Path:
    splits = {"train": containers.draw_noise(3, 1, seed=1), "test": containers.draw_noise(3, 1, seed=2)}
    (tmp_path / "served").mkdir()
    folder = containers.write_cifar_binary(splits, tmp_path / "source")
    return containers.pack(folder, tmp_path / "served" / "small.tar.gz")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(archive_file: Path) -> Iterator[str]:
    handler = partial(QuietHandler, directory=str(archive_file.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def official(archive_file: Path, home: str) -> Official:
    archive = Archive(f"{home}/{archive_file.name}", archive_file.stat().st_size, hash_file(archive_file))
    return Official((archive,), ("small-folder",))


def test_an_absent_archive_is_fetched_verified_and_found_the_next_time(
    archive_file: Path, server: str, tmp_path: Path
) -> None:
    path = find_official(official(archive_file, server), download=True)
    assert path == tmp_path / "cache" / "small.tar.gz"
    assert path.read_bytes() == archive_file.read_bytes()
    assert find_official(official(archive_file, NOWHERE), download=False) == path
    assert len(load_dataset(path).train) == 10


def test_offline_and_absent_is_one_error_that_says_where_to_put_it(archive_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_official(official(archive_file, NOWHERE), download=True)
    message = str(caught.value)
    assert message.startswith("small.tar.gz: is not on this machine and cannot be fetched (ConnectionError); fetch ")
    assert f"{NOWHERE}/small.tar.gz" in message
    assert str(tmp_path / "data") in message
    assert "\n" not in message
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_what_was_fetched_and_is_not_official_is_refused_and_not_kept(
    archive_file: Path, server: str, tmp_path: Path
) -> None:
    expected = official(archive_file, server)
    archive_file.write_bytes(b"something else")
    with pytest.raises(DataError, match="was fetched, and is not the official archive by its SHA-256"):
        find_official(expected, download=True)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


PAGE = b"<!doctype html><title>Sign in to the network</title>"


class OddServer(http.server.BaseHTTPRequestHandler):
    """Answers by `how`, with the file or something else."""

    how = ""
    content = b""

    def do_GET(self) -> None:
        body = PAGE if self.how == "page" else self.content
        self.send_response(503 if self.how == "busy" else 200)
        if self.how != "endless":
            shift = {"promises more": 100, "promises less": -100}.get(self.how, 0)
            length = "many" if self.how == "no number" else str(len(body) + shift)
            self.send_header("Content-Length", length)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[: len(body) // 2] if self.how == "breaks off" else body)
            while self.how == "endless":
                self.wfile.write(bytes(2**16))

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("page", "was fetched, and is not the official archive by its SHA-256"),
        ("busy", r"cannot be fetched \(HTTPError\)"),
        ("breaks off", r"cannot be fetched \("),
        ("promises more", r"cannot be fetched \("),
        ("promises less", "was fetched, and is not the official archive by its SHA-256"),
        ("no number", "(cannot be|was) fetched"),
        ("endless", r"was fetched, and is longer than the official archive of [\d,]+ bytes"),
    ],
)
def test_a_server_that_gives_something_else_is_told_and_leaves_nothing(
    how: str, problem: str, archive_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OddServer, "how", how)
    monkeypatch.setattr(OddServer, "content", archive_file.read_bytes())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OddServer) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.raises(DataError, match=problem) as caught:
            find_official(official(archive_file, f"http://127.0.0.1:{serving.server_port}"), download=True)
        serving.shutdown()
    assert "\n" not in str(caught.value)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_several_that_fetch_at_once_get_one_whole_archive(archive_file: Path, server: str, tmp_path: Path) -> None:
    expected = official(archive_file, server)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: find_official(expected, download=True), range(4)))
    assert set(found) == {tmp_path / "cache" / "small.tar.gz"}
    assert found[0].read_bytes() == archive_file.read_bytes()
    assert len(list((tmp_path / "cache").rglob("*"))) == 1


def test_a_full_disk_is_told(archive_file: Path, server: str, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with watching(tmp_path / "cache", Fault(1)), pytest.raises(DataError, match=r"\(No space left on device\)"):
        find_official(official(archive_file, server), download=True)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_interrupted_fetch_leaves_nothing_and_the_next_one_succeeds(
    archive_file: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("visionlib.data.download._Bounded.write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            find_official(official(archive_file, server), download=True)
    assert list((tmp_path / "cache").iterdir()) == []
    assert find_official(official(archive_file, server), download=True).is_file()


def test_a_damaged_archive_on_this_machine_is_refused(archive_file: Path, tmp_path: Path) -> None:
    expected = official(archive_file, NOWHERE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "small.tar.gz").write_bytes(archive_file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"is damaged or incomplete: its SHA-256 is .*; delete it and try again"):
        find_official(expected, download=True)


@pytest.mark.parametrize("place", ["data", "here/data", "cache"])
def test_an_unpacked_folder_is_found_in_every_place(archive_file: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / place / "small-folder").mkdir(parents=True)
    found = find_official(official(archive_file, NOWHERE), download=False)
    assert found.resolve() == tmp_path / place / "small-folder"


def test_without_leave_to_fetch_nothing_is_fetched(archive_file: Path, server: str) -> None:
    with pytest.raises(DataError, match="it is not on this machine and was not to be fetched"):
        find_official(official(archive_file, server), download=False)


def test_cifar10_by_name_in_the_folder_that_millions_have(tmp_path: Path) -> None:
    splits = {"train": containers.draw_noise(3, 1, seed=1), "test": containers.draw_noise(3, 1, seed=2)}
    containers.write_cifar_python(splits, tmp_path / "here" / "data")
    assert load_dataset("cifar10", download=False).train.content_hash == splits["train"].content_hash


def test_the_table_holds_whole_hashes() -> None:
    for known in OFFICIAL.values():
        for archive in known.archives:
            assert len(bytes.fromhex(archive.sha256)) == 32
            assert archive.url.startswith("https://")
            assert archive.size > 160e6
