"""Compare the answers of exported files with those of the run: ONNX in Python, Node and a browser, and the page.

.venv/bin/python bench/export_runtimes.py RUN N FOLDER [FOLDER ...]

Takes N pictures of any sizes, in equal parts from the folders. Pillow decodes them; each runtime gets the same pixels.
The run's answer is that of Pillow's resize and of the network in fp32. Node and the packages `onnxruntime-node` and
`onnxruntime-web` are needed (`npm install`, or their folder in VISIONLIB_NODE_MODULES), and Chromium.
"""

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from visionlib import load
from visionlib.data.decode import FORMATS, flatten
from visionlib.export import export_onnx, export_page
from visionlib.inference import TrainedModel

CHROMIUM = Path("/usr/bin/chromium")
CHUNK = 50
"""Pictures in a file, which a runtime holds at a time."""

ASK = """
async function ask(ort, session, sizes, bytes) {
  const rows = [];
  let start = 0;
  for (const size of sizes) {
    const end = start + size.reduce((product, side) => product * side, 1);
    const images = new ort.Tensor("uint8", bytes.subarray(start, end), [1, ...size]);
    rows.push(Array.from((await session.run({ images })).probabilities.data));
    start = end;
  }
  return rows;
}
"""
NODE = """
const fs = require("node:fs");
const ort = require("onnxruntime-node");
(async () => {
  const session = await ort.InferenceSession.create("model.onnx");
  const rows = [];
  for (const [at, sizes] of JSON.parse(fs.readFileSync("sizes.json")).entries()) {
    rows.push(...await ask(ort, session, sizes, new Uint8Array(fs.readFileSync(`pixels${at}`))));
  }
  fs.writeFileSync("node.json", JSON.stringify(rows));
})().catch((error) => { console.error(String(error)); process.exit(1); });
"""
PAGE = """<!doctype html><meta charset="utf-8"><title>ONNX</title><link rel="icon" href="data:,">
<script src="web/ort.wasm.min.js"></script><script>
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = "/web/";
const opened = ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
async function askChunk(at, sizes) {
  const bytes = new Uint8Array(await (await fetch(`pixels${at}`)).arrayBuffer());
  return ask(ort, await opened, sizes, bytes);
}
</script>
"""

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float64]


def find_packages() -> Path:
    """Return the folder of the npm packages.

    Raises:
        FileNotFoundError: says what is missing, of them, Node and Chromium.
    """
    folder = Path(os.environ.get("VISIONLIB_NODE_MODULES") or Path(__file__).parent.parent / "node_modules")
    for package in ("onnxruntime-node", "onnxruntime-web"):
        if not (folder / package).is_dir():
            raise FileNotFoundError(f"there is no {folder / package}: npm install --ignore-scripts")
    if shutil.which("node") is None:
        raise FileNotFoundError("node is not installed")
    if not CHROMIUM.exists():
        raise FileNotFoundError(f"there is no {CHROMIUM}")
    return folder


def answer_run(model: TrainedModel, pictures: Sequence[Pixels]) -> Rows:
    """Return the probabilities of the run: Pillow's resize, then the network in fp32."""
    assert model.image_size is not None
    assert model.precision == "fp32"
    height, width = model.image_size
    resized = [_resize(pixels, (width, height), model.resize) for pixels in pictures]
    images = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).contiguous()
    logits = model.predict(images).logits.double()
    rows: Rows = torch.softmax(logits / (model.temperature or 1.0), 1).cpu().numpy()
    return rows


def _resize(pixels: Pixels, size: tuple[int, int], resize: str) -> Pixels:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    lanczos = Image.Resampling.LANCZOS
    if image.size != size:
        image = image.resize(size, lanczos) if resize == "whole" else ImageOps.fit(image, size, lanczos)
    return np.asarray(image).reshape(size[1], size[0], -1)


def answer_python(file: Path, pictures: Sequence[Pixels]) -> Rows:
    """Return the probabilities of ONNX Runtime for Python."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    rows: list[Any] = [session.run(["probabilities"], {"images": pixels[None]})[0] for pixels in pictures]
    return np.concatenate(rows).astype(np.float64)


def answer_node(file: Path, pictures: Sequence[Pixels]) -> Rows:
    """Return the probabilities of onnxruntime-node."""
    packages = find_packages()
    with _handed_over(file, pictures) as (folder, _sizes):
        environment = {**os.environ, "NODE_PATH": str(packages.resolve())}
        command = ["node", "-e", ASK + NODE]
        done = subprocess.run(  # noqa: S603  our own script
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"node: {done.stderr[-2000:]}")
        return np.array(json.loads((folder / "node.json").read_text(encoding="utf-8")))


def answer_browser(file: Path, pictures: Sequence[Pixels]) -> Rows:
    """Return the probabilities of onnxruntime-web's WebAssembly in Chromium."""
    from playwright.sync_api import sync_playwright

    packages = find_packages()
    rows: list[list[float]] = []
    with _handed_over(file, pictures) as (folder, sizes), _served(folder) as address, sync_playwright() as started:
        (folder / "web").symlink_to((packages / "onnxruntime-web/dist").resolve())
        (folder / "index.html").write_text(PAGE, encoding="utf-8")
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.goto(address)
            page.add_script_tag(content=ASK)
            for at, chunk in enumerate(sizes):
                rows += page.evaluate("([at, sizes]) => askChunk(at, sizes)", [at, chunk])
        finally:
            browser.close()
    return np.array(rows)


def answer_page(file: Path, pictures: Sequence[Pixels]) -> Rows:
    """Return the probabilities of the page that classifies, which gets each picture as a PNG file."""
    from playwright.sync_api import sync_playwright

    rows: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.goto(file.resolve().as_uri())
            page.wait_for_selector("html[data-is-ready]", state="attached")
            for at, pixels in enumerate(pictures, 1):
                picture = Path(folder) / "picture.png"
                Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(picture)
                page.set_input_files("#file", picture)
                page.wait_for_selector(f"html[data-answers='{at}']", state="attached")
                rows.append(json.loads(page.locator("#answer").get_attribute("data-probabilities") or "[]"))
        finally:
            browser.close()
    return np.array(rows)


Answer = Callable[[Path, Sequence[Pixels]], Rows]
RUNTIMES: dict[str, Answer] = {"Python": answer_python, "Node": answer_node, "Chromium": answer_browser}
"""Of the ONNX file."""


@contextmanager
def _handed_over(file: Path, pictures: Sequence[Pixels]) -> Iterator[tuple[Path, list[list[tuple[int, ...]]]]]:
    """Yield a folder with the model and the pixels, and the pictures' shapes, while the block runs."""
    chunks = [pictures[start : start + CHUNK] for start in range(0, len(pictures), CHUNK)]
    sizes = [[pixels.shape for pixels in chunk] for chunk in chunks]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(file, folder / "model.onnx")
        (folder / "sizes.json").write_text(json.dumps(sizes), encoding="utf-8")
        for at, chunk in enumerate(chunks):
            (folder / f"pixels{at}").write_bytes(b"".join(pixels.tobytes() for pixels in chunk))
        yield folder, sizes


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Keep requests out of the output."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Yield the address at which a folder is served on this machine, while the block runs."""
    handler = functools.partial(_QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()


def read_pictures(folders: Sequence[Path], n: int, channels: int) -> list[Pixels]:
    """Decode n pictures, evenly spaced, in equal parts from the folders."""
    pictures = []
    for at, folder in enumerate(folders):
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
        share = n // len(folders) + (at < n % len(folders))
        if len(files) < share:
            raise SystemExit(f"{folder} has {len(files)} pictures, and {share} are wanted")
        for index in np.linspace(0, len(files) - 1, share).round().astype(int):
            with Image.open(files[index], formats=FORMATS) as image:
                pixels = np.asarray(flatten(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB"))
            pictures.append(pixels.reshape(*pixels.shape[:2], channels))
    return pictures


def compare(answers: Rows, expected: Rows) -> tuple[int, float]:
    """Return the number of equal classes and the largest difference of a probability."""
    return int((answers.argmax(1) == expected.argmax(1)).sum()), float(np.abs(answers - expected).max())


def main(run: str, n: str, *folders: str) -> None:
    """Print the table."""
    model = load(run, device="cpu", precision="fp32")
    pictures = read_pictures([Path(folder) for folder in folders], int(n), model.channels)
    expected = answer_run(model, pictures)
    sides = [side for pixels in pictures for side in pixels.shape[:2]]
    sys.stdout.write(f"{len(pictures):,} pictures of {min(sides)} to {max(sides)} px\n\n")
    sys.stdout.write("| runtime | same class | largest difference of a probability |\n|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export_onnx(model, file)
        page = export_page(model, Path(folder) / "page.html")
        runtimes = {f"ONNX, {name}": (file, answer) for name, answer in RUNTIMES.items()}
        for name, (path, answer) in {**runtimes, "page, Chromium": (page, answer_page)}.items():
            same, difference = compare(answer(path, pictures), expected)
            sys.stdout.write(f"| {name} | {same:,} of {len(pictures):,} | {difference:.1e} |\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
