"""The page as its reader meets it, in headless Chromium."""

import csv
import io
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.report.conftest import Written
from tests.report.runs import HOSTILE, HOT_CELL, K_NEIGHBOURS
from visionlib.evaluation import load_groups, load_predictions
from visionlib.inspection import load_map, load_neighbours

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def show(page: "Page", written: Written, fragment: str = "") -> None:
    page.goto(written.address + fragment)
    page.wait_for_selector("html[data-is-ready]", state="attached")


def shown_index(page: "Page") -> list[int]:
    """Give the images of the gallery in order, after asking for all of them."""
    while page.locator("#more").is_visible():
        page.locator("#more").click()
    return [
        int(value) for value in page.locator("#gallery .thumb").evaluate_all("all => all.map(t => t.dataset.index)")
    ]


def figures(written: Written) -> dict[str, Tensor]:
    kept = load_predictions(written.run)
    logits = kept.predictions.logits.double()
    probabilities = logits.softmax(1)
    true = probabilities.gather(1, kept.labels[:, None])[:, 0]
    predicted = kept.predictions.logits.argmax(1)
    confidence = probabilities.gather(1, predicted[:, None])[:, 0]
    return {
        "index": kept.index,
        "label": kept.labels,
        "predicted": predicted,
        "probabilities": probabilities,
        "confidence": confidence,
        "margin": confidence - true,
        "loss": -true.log(),
    }


def canvas_pixels(page: "Page", selector: str) -> np.ndarray:
    drawn = page.locator(selector)
    page.wait_for_selector(f"{selector}[data-is-drawn]")
    width, height, values = drawn.evaluate(
        "c => [c.width, c.height, Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)]"
    )
    return np.array(values, dtype=np.float64).reshape(height, width, 4)[:, :, :3]


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    factor = pixels.shape[0] // side
    return pixels[factor // 2 :: factor, factor // 2 :: factor]


def test_the_matrix_sums_to_n_and_is_that_of_the_evaluation(page: "Page", written: Written) -> None:
    show(page, written)
    rows = page.locator("#matrix tbody tr").evaluate_all(
        "rows => rows.map(row => Array.from(row.querySelectorAll('td:not(.sum)'), cell => Number(cell.textContent)))"
    )
    assert rows == written.evaluation["confusion"]["counts"]
    assert sum(map(sum, rows)) == written.evaluation["n"] == 300


def test_a_click_on_a_cell_shows_exactly_its_images(page: "Page", written: Written) -> None:
    show(page, written)
    found = figures(written)
    buttons = page.locator("#matrix button")
    places = buttons.evaluate_all("all => all.map(b => [Number(b.dataset.true), Number(b.dataset.predicted)])")
    assert len(places) > 20
    for at, (true, predicted) in enumerate(places):
        buttons.nth(at).evaluate("button => button.click()")
        expected = found["index"][(found["label"] == true) & (found["predicted"] == predicted)]
        assert sorted(shown_index(page)) == expected.tolist()
        assert page.locator("#count strong").inner_text() == str(len(expected))
        assert buttons.nth(at).get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("place", [0, 7, 299])
def test_the_drawer_shows_the_right_picture(page: "Page", written: Written, place: int) -> None:
    index = int(written.data.test.index[place])
    show(page, written, f"#image={index}")
    drawn = shrink(canvas_pixels(page, "#picture"), 32)
    images = written.data.test.images.permute(0, 2, 3, 1).double().numpy()
    distances = np.abs(images - drawn).mean((1, 2, 3))
    assert distances.argmin() == place
    assert distances[place] < 12  # of 255: the pictures are compressed
    assert np.sort(distances)[1] > 2 * distances[place]


def test_the_drawer_tells_the_five_likeliest_classes(page: "Page", written: Written) -> None:
    found = figures(written)
    for place in (1, 42, 128):
        show(page, written, f"#image={int(found['index'][place])}")
        rows = page.locator(".top tr").evaluate_all(
            "rows => rows.map(r => [r.querySelector('bdi').textContent, r.querySelector('td').textContent])"
        )
        values, labels = found["probabilities"][place].topk(5)
        assert [name for name, _ in rows] == [written.data.classes[label] for label in labels]
        for (_, share), value in zip(rows, values.tolist(), strict=True):
            assert float(share.removesuffix("\N{NO-BREAK SPACE}%")) / 100 == pytest.approx(value, abs=0.0051)
        marked = page.locator(".top tr.true bdi").all_inner_texts()
        assert marked in ([], [written.data.classes[int(found["label"][place])]])


def test_maps_lie_where_the_evidence_is(page: "Page", written: Written) -> None:
    show(page, written, f"#image={int(written.data.test.index[3])}")
    plain = shrink(canvas_pixels(page, "#picture"), 32)
    asked = [("layercam-fused", "predicted", 0), ("layercam-fused", "true", 1), ("grad-cam", "predicted", 2)]
    assert page.locator("figure.map").count() == len(asked)
    for method, target, offset in asked:
        overlaid = shrink(canvas_pixels(page, f'canvas[data-method="{method}"][data-target="{target}"]'), 32)
        added = (overlaid - 0.4 * plain) / 0.6
        cells = added.reshape(4, 8, 4, 8, 3).mean((1, 3))
        hot = np.abs(cells - np.array([253, 231, 37])).sum(2)
        assert divmod(int(hot.argmin()), 4) == divmod(HOT_CELL + offset, 4)
        cold = np.delete(cells.reshape(16, 3), HOT_CELL + offset, 0)
        assert np.abs(cold - np.array([68, 1, 84])).max() < 8


def test_an_image_without_maps_says_so(page: "Page", written: Written) -> None:
    show(page, written, f"#image={int(written.data.test.index[200])}")
    assert "No map was made of this image." in page.locator("#drawer").inner_text()


def test_the_nearest_training_images_are_those_of_the_run(page: "Page", written: Written) -> None:
    near = load_neighbours(written.run)
    show(page, written, f"#image={int(near.index[0])}")
    told = page.locator(".neighbour figcaption").all_inner_texts()
    assert len(told) == K_NEIGHBOURS + 1  # the last is a duplicate of this image
    for text, index, label, distance in zip(
        told,
        near.neighbour_index[0].tolist(),
        near.neighbour_labels[0].tolist(),
        near.distances[0].tolist(),
        strict=False,
    ):
        assert text.split("\n") == [written.data.classes[label], f"#{index}, distance {distance:.3f}"]


def test_filters_combine(page: "Page", written: Written) -> None:
    found = figures(written)
    is_wrong = found["label"] != found["predicted"]
    is_confident = found["confidence"] >= 0.9
    show(page, written)
    assert sorted(shown_index(page)) == found["index"][is_wrong].tolist()
    expected = {
        "confident": is_wrong & is_confident,
        "unsure": is_wrong & ~is_confident,
        "right": ~is_wrong,
        "hesitant": ~is_wrong & ~is_confident,
        "all": torch.ones_like(is_wrong),
    }
    for kind, chosen in expected.items():
        page.select_option("#filter-kind", kind)
        assert sorted(shown_index(page)) == found["index"][chosen].tolist()
    page.select_option("#filter-predicted", "3")
    page.select_option("#filter-true", "2")
    both = (found["label"] == 2) & (found["predicted"] == 3)
    assert sorted(shown_index(page)) == found["index"][both].tolist()
    page.click("#clear")
    assert sorted(shown_index(page)) == found["index"][is_wrong].tolist()


def test_candidates_duplicates_and_the_other_run_can_be_shown(page: "Page", written: Written) -> None:
    show(page, written)
    for kind, n in (("candidates", 5), ("duplicates", 3), ("explained", 40)):
        page.locator(f'button[data-kind="{kind}"]').first.click()
        assert len(shown_index(page)) == n
    found, other = figures(written), load_predictions(written.run.path.parent / "second")
    is_right, is_right_there = found["label"] == found["predicted"], other.predictions.logits.argmax(1) == other.labels
    page.locator('button[data-kind="only-this"]').click()
    assert sorted(shown_index(page)) == found["index"][is_right & ~is_right_there].tolist()
    page.locator('button[data-kind="only-other"]').click()
    assert sorted(shown_index(page)) == found["index"][~is_right & is_right_there].tolist()


@pytest.mark.parametrize("by", ["loss", "margin", "confidence", "index"])
def test_sorting(page: "Page", written: Written, by: str) -> None:
    found = figures(written)
    show(page, written)
    page.select_option("#sort", by)
    order = {int(index): float(value) for index, value in zip(found["index"], found[by], strict=True)}
    values = [order[index] for index in shown_index(page)]
    if by == "index":
        assert values == sorted(values)
    else:
        assert all(first >= second - 2e-5 for first, second in itertools.pairwise(values))


def map_places(page: "Page", written: Written) -> tuple[dict[str, float], np.ndarray]:
    """Bring the map into view; give where its canvas lies, and where on it each image does, in the page's pixels."""
    canvas = page.locator("#map-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    frame = canvas.evaluate("c => [c.clientWidth, c.clientHeight]")
    positions = load_map(written.run).positions
    low, high = positions.amin(0), positions.amax(0)
    unit = ((positions - (low + high) / 2) / (high - low).max() + 0.5).double().numpy()
    unit[:, 1] = 1 - unit[:, 1]
    first, last = unit.min(0), unit.max(0)
    side = min((size - 28) / (last[axis] - first[axis]) for axis, size in enumerate(frame))
    offset = [(size - side * (first[axis] + last[axis])) / 2 for axis, size in enumerate(frame)]
    border = canvas.evaluate("c => [c.clientLeft, c.clientTop]")
    return {"x": box["x"], "y": box["y"]}, unit * side + np.array(offset) + np.array(border)


def test_the_lasso_shows_what_it_circles(page: "Page", written: Written) -> None:
    show(page, written)
    found = load_map(written.run)
    box, places = map_places(page, written)
    left, top, right, bottom = 150, 120, 480, 330
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    page.mouse.move(box["x"] + left, box["y"] + top)
    page.mouse.down()
    for x, y in corners:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    got = set(shown_index(page))
    across, down = places[:, 0], places[:, 1]
    slack = 3  # pixels: corners are written in thousandths of the side
    surely = (across > left + slack) & (across < right - slack) & (down > top + slack) & (down < bottom - slack)
    perhaps = (across > left - slack) & (across < right + slack) & (down > top - slack) & (down < bottom + slack)
    assert 10 < surely.sum() < 250
    assert (
        set(found.index[torch.from_numpy(surely)].tolist())
        <= got
        <= set(found.index[torch.from_numpy(perhaps)].tolist())
    )
    assert "circled on the map" in page.locator("#count").inner_text()
    linked = page.url
    page.keyboard.press("Escape")
    assert "lasso" not in page.url
    page.goto("about:blank")
    page.goto(linked)
    assert set(shown_index(page)) == got


def test_a_point_of_the_map_opens_its_image(page: "Page", written: Written) -> None:
    show(page, written)
    box, places = map_places(page, written)
    # The point that is furthest from all others.
    distances = np.abs(places[:, None] - places[None]).sum(2) + 1e9 * np.eye(len(places))
    loneliest = int(distances.min(1).argmax())
    index = int(load_map(written.run).index[loneliest])
    page.mouse.move(box["x"] + places[loneliest, 0], box["y"] + places[loneliest, 1])
    assert page.locator("#map-hint").inner_text().startswith(f"image {index}: ")
    page.mouse.down()
    page.mouse.up()
    assert page.locator("#drawer-title").inner_text().startswith(f"#{index} ")


def test_keys_go_through_the_images(page: "Page", written: Written) -> None:
    show(page, written)
    order = shown_index(page)
    page.keyboard.press("ArrowRight")
    focused = "() => document.activeElement.dataset.index"
    assert page.evaluate(focused) == str(order[0])
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == str(order[1])
    page.keyboard.press("ArrowDown")
    columns = int(
        page.evaluate(
            "() => getComputedStyle(document.getElementById('gallery')).gridTemplateColumns.split(' ').length"
        )
    )
    assert page.evaluate(focused) == str(order[1 + columns])
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    title = page.locator("#drawer-title")
    assert title.inner_text().startswith(f"#{order[1]} ")
    page.keyboard.press("ArrowRight")
    assert title.inner_text().startswith(f"#{order[2]} ")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert title.inner_text().startswith(f"#{order[0]} ")
    page.keyboard.press("Escape")
    assert page.locator("#drawer").is_hidden()
    assert page.evaluate(focused) == str(order[0])
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#help").is_hidden()


def test_the_address_holds_the_view(page: "Page", written: Written) -> None:
    show(page, written)
    page.select_option("#filter-kind", "all")
    page.select_option("#filter-true", "4")
    page.select_option("#sort", "margin")
    page.locator("#gallery .thumb").nth(2).click()
    linked, order, title = page.url, shown_index(page), page.locator("#drawer-title").inner_text()
    assert "kind=all" in linked
    assert "image=" in linked
    page.goto("about:blank")
    page.goto(linked)
    assert shown_index(page) == order
    assert page.locator("#drawer-title").inner_text() == title
    assert page.input_value("#sort") == "margin"


@pytest.mark.parametrize(
    "fragment", ["#true=99", "#kind=__proto__", "#image=x", "#sort=<b>", "#lasso=1.2", "#layers", "#%"]
)
def test_an_address_that_makes_no_sense_shows_the_mistakes(page: "Page", written: Written, fragment: str) -> None:
    show(page, written, fragment)
    found = figures(written)
    assert sorted(shown_index(page)) == found["index"][found["label"] != found["predicted"]].tolist()
    assert page.locator("#drawer").is_hidden()


def test_hostile_class_names_are_text_and_nothing_else(page: "Page", hostile: Written) -> None:
    show(page, hostile, f"#image={int(hostile.data.test.index[0])}&kind=all")
    shown_index(page)
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    names = page.locator("#filter-true option").all_text_contents()[1:]
    assert names[0] == HOSTILE[0]
    assert names[2] == HOSTILE[2]
    assert names[6] == "w" * 255
    assert page.locator("#matrix tbody th").first.inner_text() == HOSTILE[0]
    assert page.evaluate("() => window.isHacked") is None
    assert page.locator("main img, main script, b").count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    rows = list(csv.reader(io.StringIO(download(page, "images.csv"))))
    assert len(rows) == 301
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))]
    assert {row[2] for row in rows[1:]} >= {"'=HYPERLINK(A1)", "'--help \\u003c$&", HOSTILE[3]}


def download(page: "Page", name: str) -> str:
    with page.expect_download() as started:
        page.locator(f'button[data-download="{name}"]').click()
    assert started.value.suggested_filename == name
    return Path(started.value.path()).read_text(encoding="utf-8")


def test_figures_are_those_of_the_evaluation(page: "Page", written: Written) -> None:
    show(page, written)
    expected = written.evaluation
    card = page.locator('[data-card="accuracy"]').inner_text().replace("\N{NO-BREAK SPACE}", " ")
    low, high = expected["confidence_interval"]
    assert f"\n{100 * expected['accuracy']:.2f} %\n{100 * low:.1f} % to {100 * high:.1f} % (95 % interval)" in card
    assert f"of {expected['n']:,} test images\n{expected['n'] - expected['correct']:,} mistakes" in card
    rows = page.locator("#class-table tbody tr").evaluate_all(
        "rows => rows.map(row => Array.from(row.children, cell => cell.textContent.trim()))"
    )
    for row, entry in zip(rows, expected["per_class"], strict=True):
        assert row[:3] == [entry["class"], f"{entry['n']:,}", f"{100 * entry['accuracy']:.2f} %"]
        assert row[5] == f"{100 * entry['precision']:.2f} %"
    assert json.loads(download(page, "evaluation.json")) == expected
    config = json.loads(written.run.config.read_text())
    assert json.loads(download(page, "config.json"))["config"] == config["config"]
    classes = list(csv.DictReader(io.StringIO(download(page, "classes.csv"))))
    assert [float(row["accuracy"]) for row in classes] == [entry["accuracy"] for entry in expected["per_class"]]
    found = figures(written)
    images = list(csv.DictReader(io.StringIO(download(page, "images.csv"))))
    assert [int(row["index"]) for row in images] == found["index"].tolist()
    for name in ("loss", "confidence", "margin"):
        assert [float(row[name]) for row in images] == pytest.approx(found[name].tolist(), abs=3e-5)


def test_a_weak_group_opens_its_images(page: "Page", written: Written) -> None:
    show(page, written)
    thumbs = page.locator('[data-group="1"] .thumb').evaluate_all("all => all.map(t => Number(t.dataset.index))")
    (group,) = load_groups(written.run).groups
    assert thumbs == list(group.images.index[:6])
    page.click('button[data-kind="group-1"]')
    assert page.inner_text("#count").startswith(f"{len(group.images)} images: weak group 1")
    assert page.evaluate("location.hash") == "#kind=group-1"


def test_parts_that_are_missing_say_how_to_make_them(page: "Page", bare: Written) -> None:
    show(page, bare, f"#image={int(bare.data.test.index[0])}")
    notes = page.locator(".missing").all_inner_texts()
    for command in ("groups", "explain", "inspect", "data", "summary", "stress", "shortcuts"):
        assert any(f"visionlib {command} " in text for text in notes)
    assert len(bare.report.missing) == 10
    assert len(notes) == 11  # in the sections all but the neighbours; of an open image those and the maps
    options = page.locator("#filter-kind option").evaluate_all("all => all.map(o => o.value)")
    assert options == ["wrong", "confident", "unsure", "right", "hesitant", "all"]


def test_a_notebook_shows_the_page_in_a_frame(page: "Page", written: Written) -> None:
    page.set_content(f"<p>a notebook</p>{written.report._repr_html_()}")
    frame = page.frame_locator("iframe")
    frame.locator("#gallery .thumb").first.click()
    assert frame.locator("#drawer-title").is_visible()
    frame.locator("#matrix button").nth(1).click()
    assert "taken for" in frame.locator("#count").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page: "Page", written: Written, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    show(page, written, f"#image={int(written.data.test.index[0])}")
    # WCAG 2.2, 1.4.3: 4.5 to 1 for text of this size.
    weak = page.evaluate("""() => {
      const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
      const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
      const ground = (node) => {
        for (let at = node; at; at = at.parentElement) {
          const colour = numbers(getComputedStyle(at).backgroundColor);
          if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
      };
      const found = [];
      for (const node of document.querySelectorAll("body *")) {
        const text = Array.from(node.childNodes).some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!text || !node.getClientRects().length || ["SCRIPT", "OPTION"].includes(node.tagName)) continue;
        const isDrawn = node instanceof SVGElement;
        const ink = numbers(getComputedStyle(node)[isDrawn ? "fill" : "color"]);
        const [a, b] = [luminance(ink), luminance(ground(node))].sort((x, y) => y - x);
        const told = `${node.tagName}.${node.getAttribute("class")}: ${node.textContent}`;
        if ((a + 0.05) / (b + 0.05) < 4.5) found.push(told);
      }
      return found;
    }""")
    assert weak == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_runs_out_of_a_narrow_screen(page: "Page", written: Written, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    show(page, written)
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    page.locator("#gallery .thumb").first.click()
    box = page.locator("#drawer").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width + 1


def test_every_chart_has_a_title_and_controls_have_names(page: "Page", written: Written) -> None:
    show(page, written, f"#image={int(written.data.test.index[0])}")
    nameless = page.evaluate("""() => Array.from(document.querySelectorAll("svg, canvas, button, select, [role=img]"))
      .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.closest("label")))
      .map((node) => node.outerHTML.slice(0, 80))""")
    assert nameless == []
    assert page.locator("svg.chart > title").count() == page.locator("svg.chart").count() > 10


def test_print_leaves_out_what_cannot_be_pressed(page: "Page", written: Written) -> None:
    show(page, written)
    page.emulate_media(media="print")
    for selector in ("nav", "#filters", "#more"):
        assert page.locator(selector).is_hidden()
    assert page.locator("#class-table").is_visible()
