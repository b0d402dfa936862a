"""The page that classifies as its reader meets it, in headless Chromium: the same answers as in Python."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F

from tests.export.pages import CLASSES, classify, draw_picture, make_model, open_page, read_answer, spread
from tests.report.runs import HOSTILE
from visionlib.explanation import explain
from visionlib.export import export_page
from visionlib.inference.novelty import energy
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.model_record import Novelty

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


def resize(model: TrainedModel, picture: Image.Image) -> Tensor:
    """Resize by Pillow, as the contract of decoding says."""
    assert model.image_size is not None
    height, width = model.image_size
    flat = picture.convert("RGB" if model.channels == 3 else "L")
    if flat.size != (width, height):
        whole = model.resize == "whole"
        size = (width, height)
        flat = (
            flat.resize(size, Image.Resampling.LANCZOS) if whole else ImageOps.fit(flat, size, Image.Resampling.LANCZOS)
        )
    pixels = torch.from_numpy(np.array(flat))
    return (pixels[None, None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)[None]).contiguous()


def probabilities(model: TrainedModel, images: Tensor) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        logits = model.network(model.prepare(images))[0].double()
    return np.asarray((logits / (model.temperature or 1)).softmax(0))


def check_answer(model: TrainedModel, picture: Image.Image, answer: dict[str, Any], tolerance: float = 1e-4) -> None:
    images = resize(model, picture)
    assert np.array_equal(answer["pixels"], np.broadcast_to(images[0].permute(1, 2, 0), answer["pixels"].shape))
    expected = probabilities(model, images)
    assert np.abs(answer["probabilities"] - expected).max() <= tolerance
    assert np.argmax(answer["probabilities"]) == expected.argmax()


def check_map(model: TrainedModel, picture: Image.Image, answer: dict[str, Any]) -> None:
    label = int(answer["label"])
    expected = explain(model, resize(model, picture), method="grad-cam", target=label).maps[0].numpy()
    expected = expected / max(float(expected.max()), 1e-30)
    assert answer["map"].size == expected.size > 1
    assert np.abs(answer["map"] - expected.ravel()).max() <= 1e-3


MODELS: dict[str, dict[str, Any]] = {
    "resnet20": {},
    "cnn8": {"side_px": 24},
    "resnet9": {"resize": "whole"},
    "resnet18": {"image_size": (24, 40), "side_px": 16},
    "resnet50": {"channels": 1, "temperature": None},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_dozen_pictures_of_mixed_sizes_have_the_answers_of_python(
    name: str, page: "Page", pictures: list[Path], tmp_path: Path
) -> None:
    model = make_model(name, **MODELS[name])
    open_page(page, export_page(model, tmp_path / "page.html"))
    for path in pictures if name in ("resnet20", "cnn8") else pictures[1::3]:
        answer = classify(page, path)
        picture = Image.open(path)
        check_answer(model, picture, answer)
        check_map(model, picture, answer)


def test_unusual_pictures_are_marked_as_in_python(page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    model = make_model("resnet20")
    energies = energy(torch.cat([model.predict(resize(model, Image.open(path))).logits for path in pictures]))
    middle = (energies.sort().values[5:7].sum() / 2).item()
    model = replace(model, novelty=Novelty(middle, 100, is_held_out=True))
    open_page(page, export_page(model, tmp_path / "page.html"))
    for path, is_unusual in zip(pictures, (energies > middle).tolist(), strict=True):
        classify(page, path)
        assert page.locator("#unusual").is_visible() == is_unusual
        assert ("No class fits well" in page.locator("#spoken").inner_text()) == is_unusual


def test_the_map_is_of_the_chosen_class(page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    model = make_model("resnet20")
    open_page(page, export_page(model, tmp_path / "page.html"))
    classify(page, pictures[6])
    seen = set()
    for at in range(5):
        page.locator("#bars input").nth(at).check()
        label = page.locator("#bars .class").nth(at).get_attribute("data-label")
        page.wait_for_selector(f"#stage[data-label='{label}']")
        check_map(model, Image.open(pictures[6]), read_answer(page))
        seen.add(label)
    assert len(seen) == 5


def test_resizing_is_that_of_pillow_at_any_size(page: "Page", tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    model = make_model("resnet20", image_size=(20, 28))
    open_page(page, export_page(model, tmp_path / "page.html"))
    for at in range(40):
        width, height = (int(2 ** random.uniform(0, 9.5)) for _ in range(2))
        path = tmp_path / f"{at}.png"
        draw_picture(width, height, at).save(path)
        answer = classify(page, path)
        assert np.array_equal(answer["pixels"], resize(model, Image.open(path))[0].permute(1, 2, 0)), (width, height)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(orientation: int, page: "Page", tmp_path: Path) -> None:
    model = make_model("resnet20")
    exif = Image.Exif()
    exif[0x0112] = orientation
    draw_picture(90, 60, orientation).save(tmp_path / "photo.jpg", exif=exif, quality=90)
    open_page(page, export_page(model, tmp_path / "page.html"))
    answer = classify(page, tmp_path / "photo.jpg")
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "photo.jpg"))
    check_answer(model, upright, answer)


def test_transparent_parts_are_white(page: "Page", tmp_path: Path) -> None:
    model = make_model("resnet20")
    picture = draw_picture(50, 50, 1, "RGBA")
    alpha = Image.new("L", (50, 50), 0)
    alpha.paste(255, (10, 10, 40, 45))
    picture.putalpha(alpha)
    picture.save(tmp_path / "clear.png")
    open_page(page, export_page(model, tmp_path / "page.html"))
    expected = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    check_answer(model, expected, classify(page, tmp_path / "clear.png"))


class Varied(nn.Module):
    """Most operations that a page knows, in shapes that built-in networks do not have."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1))
        self.norm = nn.BatchNorm2d(12)
        self.grouped = nn.Conv2d(12, 18, 3, padding=1, groups=3, bias=False)
        self.deep = nn.Conv2d(18, 18, 5, padding=2, groups=18)
        self.squeeze, self.excite = nn.Conv2d(18, 5, 1), nn.Conv2d(5, 18, 1)
        self.last = nn.Conv2d(30, 16, 3, stride=2)
        self.head = nn.Linear(16, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        features = F.silu(self.norm(self.stem(inputs)))
        side = F.max_pool2d(features, 3, stride=2, padding=1, ceil_mode=True)
        side = F.avg_pool2d(F.pad(side, (1, 0, 0, 1), value=0.3), 2, stride=1)
        main = F.leaky_relu(self.grouped(features), 0.2)
        main = F.hardswish(self.deep(main)) / 2 + F.elu(main) - torch.tanh(main) * 0.5
        gate = torch.sigmoid(self.excite(F.relu6(self.squeeze(main.mean((2, 3), keepdim=True)))))
        main = F.adaptive_avg_pool2d(main * gate, (side.shape[2], side.shape[3]))
        joined = torch.cat([main, side[:, :, :, :]], 1)
        self.features = F.gelu(self.last(joined[:, :, 1:, ::2] * 2 + 1), approximate="tanh")
        outputs: Tensor = self.head(self.features.mean((-1, -2)))
        return outputs

    @torch.no_grad()
    def map_of(self, inputs: Tensor, label: int) -> Tensor:
        """The CAM of Zhou et al.: no module outputs these features, so that `explain` cannot read them."""
        self(inputs)
        evidence = torch.einsum("chw,c->hw", self.features[0], self.head.weight[label]).relu()
        return evidence / evidence.max().clamp(min=1e-30)


def test_a_network_of_many_operations(page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    network = Varied()
    model = spread(TrainedModel(network.eval(), (0.5,) * 3, (0.2,) * 3, classes=CLASSES, image_size=(32, 30)))
    open_page(page, export_page(model, tmp_path / "page.html"))
    for path in pictures[4:8]:
        answer = classify(page, path)
        check_answer(model, Image.open(path), answer)
        expected = network.map_of(model.prepare(resize(model, Image.open(path))), int(answer["label"]))
        assert np.abs(answer["map"] - expected.numpy().ravel()).max() <= 1e-3


@pytest.mark.parametrize("head", ["flat", "deep"])
def test_a_map_where_the_structure_has_one(head: str, page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    body = [nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Flatten()]
    rest = [nn.Linear(8 * 8 * 8, 10)] if head == "flat" else [nn.Linear(512, 20), nn.ReLU(), nn.Linear(20, 10)]
    model = spread(
        TrainedModel(nn.Sequential(*body, *rest).eval(), (0.5,) * 3, (0.2,) * 3, classes=CLASSES, image_size=(32, 32))
    )
    open_page(page, export_page(model, tmp_path / "page.html"))
    answer = classify(page, pictures[6])
    check_answer(model, Image.open(pictures[6]), answer)
    if head == "flat":
        check_map(model, Image.open(pictures[6]), answer)
    else:
        assert answer["map"] is None
        assert page.locator("#map-tools").is_hidden()
        assert "no map of where it looks" in page.inner_text("main")


def test_without_a_worker_the_answers_are_the_same(page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    model = make_model("resnet20")
    page.add_init_script("delete window.Worker")
    open_page(page, export_page(model, tmp_path / "page.html"))
    check_answer(model, Image.open(pictures[7]), classify(page, pictures[7]))


def test_half_precision_halves_the_file_and_changes_answers_little(
    page: "Page", pictures: list[Path], tmp_path: Path
) -> None:
    model = make_model("resnet20")
    whole, half = export_page(model, tmp_path / "a.html"), export_page(model, tmp_path / "b.html", precision="fp16")
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    open_page(page, half)
    answer = classify(page, pictures[6])
    difference = np.abs(answer["probabilities"] - probabilities(model, resize(model, Image.open(pictures[6])))).max()
    assert 0 < difference < 5e-3
    assert page.locator("#problem").is_hidden()


def test_a_browser_that_computes_otherwise_is_told_of(page: "Page", tmp_path: Path) -> None:
    path = export_page(make_model("resnet20"), tmp_path / "page.html")
    page.add_init_script("Math.exp = (x) => 1 + x; delete window.Worker")
    open_page(page, path)
    assert "Do not trust them" in page.inner_text("#problem")
    assert page.inner_text("#check").startswith("failed")


def test_hostile_names_are_text(page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    names = (*HOSTILE, "a\u202eb", "x" * 3000)
    model = make_model("resnet20", classes=names, provenance="run /home/<script>alert(3)</script>/<b>name")
    path = export_page(model, tmp_path / "page.html", title="<img src=x onerror=alert(4)>")
    open_page(page, path)
    for picture in pictures[4:8]:
        classify(page, picture)
        assert page.evaluate("window.isHacked") is None
        assert page.locator("main img, main b, header img, header b, iframe").count() == 0
    assert page.locator("script").count() == 2  # the weights are gone after they were read
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shown = page.locator(".names bdi").all_text_contents()
    assert shown[0] == HOSTILE[0]
    assert "\u202e" not in "".join(shown)


def test_the_policy_blocks_the_network(browser: "Browser", tmp_path: Path) -> None:
    path = export_page(make_model("resnet20"), tmp_path / "page.html")
    page = browser.new_page()
    requests: list[str] = []
    page.on("requestfinished", lambda request: requests.append(request.url))
    page.on("response", lambda response: requests.append(response.url))
    open_page(page, path)
    outcomes = page.evaluate(
        """async () => {
            const broken = [];
            document.addEventListener("securitypolicyviolation", (event) => broken.push(event.effectiveDirective));
            const fetched = await fetch("https://example.org/a").then(() => "sent", () => "blocked");
            for (const [tag, name] of [["img", "src"], ["script", "src"], ["iframe", "src"], ["link", "href"]]) {
                const node = document.createElement(tag);
                node[name] = "https://example.org/b";
                if (tag === "link") node.rel = "stylesheet";
                document.body.append(node);
            }
            const inline = document.createElement("script");
            inline.textContent = "window.isHacked = true";
            document.body.append(inline);
            await new Promise((resolve) => setTimeout(resolve, 300));
            return { fetched, broken, isHacked: window.isHacked === true };
        }"""
    )
    page.close()
    assert outcomes["fetched"] == "blocked"
    assert not outcomes["isHacked"]
    assert {"connect-src", "img-src", "script-src-elem", "frame-src", "style-src-elem"} <= set(outcomes["broken"])
    assert [address for address in requests if address.startswith("http")] == []


def test_the_keyboard_is_enough(page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    open_page(page, export_page(make_model("resnet20"), tmp_path / "page.html"))

    def focused() -> str:
        return str(page.evaluate("document.activeElement.id || document.activeElement.name || ''"))

    def tab_to(name: str) -> None:
        for _ in range(12):
            if focused() == name:
                return
            page.keyboard.press("Tab")
        pytest.fail(f"{name} is not reached by the Tab key")

    tab_to("file")
    page.keyboard.press("Enter")
    while not choosers:
        page.wait_for_timeout(50)
    choosers[0].set_files(pictures[6])
    page.wait_for_selector("html[data-answers='1']", state="attached")
    assert page.inner_text("#spoken").startswith("Likeliest: ")
    tab_to("camera")
    tab_to("class")
    first = page.get_attribute("#stage", "data-label")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("first => document.getElementById('stage').dataset.label !== first", arg=first)
    for _ in range(6):
        page.keyboard.press("Shift+Tab")
        if focused() == "map-on":
            break
    shown = page.get_attribute("#picture", "aria-label")
    page.keyboard.press("Space")
    assert (shown or "").startswith("your picture, with the map for ")
    assert page.get_attribute("#picture", "aria-label") == "your picture"


def test_what_is_no_picture_is_told_and_the_next_one_works(page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    open_page(page, export_page(make_model("resnet20"), tmp_path / "page.html"))
    for at, content in enumerate([b"", b"no picture", pictures[6].read_bytes()[:200]]):
        (tmp_path / f"{at}.png").write_bytes(content)
        page.set_input_files("#file", tmp_path / f"{at}.png")
        page.wait_for_selector("#problem:not([hidden])")
        assert page.inner_text("#problem").startswith("This is no picture")
        classify(page, pictures[at])
        assert page.locator("#problem").is_hidden()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(way: str, page: "Page", tmp_path: Path) -> None:
    model = make_model("resnet20")
    open_page(page, export_page(model, tmp_path / "page.html"))
    page.evaluate(
        """async (way) => {
            const canvas = new OffscreenCanvas(40, 40);
            const context = canvas.getContext("2d");
            context.fillStyle = "#c03020"; context.fillRect(0, 0, 40, 40);
            context.fillStyle = "#2040a0"; context.fillRect(10, 10, 20, 25);
            const files = new DataTransfer();
            files.items.add(new File([await canvas.convertToBlob()], "a.png", { type: "image/png" }));
            document.dispatchEvent(way === "drop"
                ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: files, bubbles: true }));
        }""",
        way,
    )
    page.wait_for_selector("html[data-answers='1']", state="attached")
    picture = Image.new("RGB", (40, 40), "#c03020")
    picture.paste("#2040a0", (10, 10, 30, 35))
    check_answer(model, picture, read_answer(page))


@pytest.fixture
def camera(browser: "Browser") -> "Iterator[Page]":
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
    ]
    other = browser.browser_type.launch(executable_path="/usr/bin/chromium", args=arguments)
    yield other.new_page()
    other.close()


def test_the_camera(camera: "Page", tmp_path: Path) -> None:
    open_page(camera, export_page(make_model("resnet20"), tmp_path / "page.html"))
    camera.click("#camera")
    camera.wait_for_selector("#video:visible")
    camera.keyboard.press("Escape")
    assert camera.locator("#video").is_hidden()
    camera.click("#camera")
    camera.wait_for_selector("#shoot:visible")
    camera.click("#shoot")
    camera.wait_for_selector("html[data-answers='1']", state="attached")
    assert camera.locator("#picture").is_visible()
    assert read_answer(camera)["pixels"].std() > 1  # not black: the device draws a moving figure


def test_without_a_camera_the_page_says_so(page: "Page", tmp_path: Path) -> None:
    open_page(page, export_page(make_model("resnet20"), tmp_path / "page.html"))
    page.click("#camera")
    page.wait_for_selector("#problem:not([hidden])")
    assert "Choose a file instead" in page.inner_text("#problem")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_everything_fits(scheme: Any, width: int, page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    open_page(page, export_page(make_model("cnn8"), tmp_path / "page.html"))
    classify(page, pictures[9])
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("#verdict").bounding_box() is not None
    box = page.locator("#sureness").bounding_box()
    assert box is not None
    assert 0 < box["y"] < 844
