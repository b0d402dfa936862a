"""Ways through the page: what opens what, where the focus and Back lead, and what stays in view."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.report.conftest import Written
from tests.report.test_page_in_browser import canvas_pixels, figures, map_places, show, shown_index
from visionlib.drawing.palette import CATEGORIES, TRUE_CLASS
from visionlib.inspection import load_map
from visionlib.report import write_report
from visionlib.report.choice import choose_images

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page

pytestmark = pytest.mark.browser
FOCUSED = "() => document.activeElement.id"
IS_AT_IMAGES = "() => Math.abs(document.getElementById('mistakes').getBoundingClientRect().top - 50) < 60"


def rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def test_cards_open_their_images(page: "Page", written: Written) -> None:
    found = figures(written)
    show(page, written)
    is_wrong = found["label"] != found["predicted"]
    for name in ("accuracy", "weakest", "confused", "calibration"):
        card = page.locator(f'[data-card="{name}"]')
        view = dict(part.split("=") for part in str(card.get_attribute("href")).removeprefix("#").split("&"))
        chosen = torch.ones_like(is_wrong)
        if "true" in view:
            chosen &= found["label"] == int(view["true"])
        if "predicted" in view:
            chosen &= found["predicted"] == int(view["predicted"])
        is_sure = found["confidence"] >= 0.9
        kinds = {"wrong": is_wrong, "all": ~is_wrong | is_wrong, "confident": is_wrong & is_sure}
        chosen &= {**kinds, "hesitant": ~is_wrong & ~is_sure}[view["kind"]]
        card.click()
        page.wait_for_function(IS_AT_IMAGES)
        assert sorted(shown_index(page)) == found["index"][chosen].tolist()
        page.go_back()
        page.wait_for_function("() => scrollY < 100")


def test_the_worst_mistakes_stand_beside_the_verdict(page: "Page", written: Written) -> None:
    found = figures(written)
    show(page, written)
    losses = torch.where(found["label"] == found["predicted"], -1.0, found["loss"])
    index = "all => all.map(thumb => Number(thumb.dataset.index))"
    worst = found["index"][losses.argsort(descending=True)[:6]].tolist()
    assert page.locator("#worst .thumb").evaluate_all(index) == worst
    accuracies = [entry["accuracy"] for entry in written.evaluation["per_class"]]
    losses = torch.where(found["label"] == accuracies.index(min(accuracies)), losses, -1.0)
    of_class = page.locator("#weakest .thumb").evaluate_all(index)
    assert of_class == found["index"][losses.argsort(descending=True)[:6]].tolist()
    for selector in ("#worst", '[data-card="calibration"]'):
        box = page.locator(selector).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 900
    page.locator("#worst .thumb").nth(2).click()
    assert page.locator("#drawer-title").inner_text().startswith(f"#{worst[2]} ")


def test_a_class_row_filters_the_images_and_there_is_a_way_back(page: "Page", written: Written) -> None:
    found = figures(written)
    show(page, written)
    page.locator("#class-table tbody tr").nth(4).locator("td").nth(2).click()
    page.wait_for_function(IS_AT_IMAGES)
    assert sorted(shown_index(page)) == found["index"][found["label"] == 4].tolist()
    page.locator("#class-table button").nth(6).focus()
    page.keyboard.press("Enter")
    assert sorted(shown_index(page)) == found["index"][found["label"] == 6].tolist()
    assert page.evaluate(FOCUSED) == "mistakes-title"
    page.locator("#matrix button").nth(3).click()
    page.locator("#to-matrix").click()
    page.wait_for_function("() => Math.abs(document.getElementById('confusion').getBoundingClientRect().top - 50) < 60")
    assert page.evaluate("() => document.activeElement.getAttribute('aria-pressed')") == "true"
    assert page.evaluate("() => Boolean(document.activeElement.closest('#matrix'))")


def test_back_leads_through_what_was_opened(page: "Page", written: Written) -> None:
    show(page, written)
    page.locator("#matrix button").nth(1).scroll_into_view_if_needed()
    before = page.evaluate("() => scrollY")
    mistakes = shown_index(page)
    page.locator("#matrix button").nth(1).click()
    page.wait_for_function(IS_AT_IMAGES)
    cell = shown_index(page)
    page.locator("#gallery .thumb").first.click()
    assert page.evaluate(FOCUSED) == "drawer-title"
    page.go_back()
    page.wait_for_selector("#drawer", state="hidden")
    assert shown_index(page) == cell
    assert page.evaluate("() => document.activeElement.dataset.index") == str(cell[0])
    page.go_forward()
    page.wait_for_selector("#drawer", state="visible")
    assert page.evaluate(FOCUSED) == "drawer-title"
    page.keyboard.press("Escape")
    page.wait_for_function("() => !location.hash.includes('image')")
    assert shown_index(page) == cell
    page.go_back()
    page.wait_for_function("() => location.hash === ''")
    assert shown_index(page) == mistakes
    page.wait_for_function(f"() => Math.abs(scrollY - {before}) < 200")
    assert page.url == written.address


def test_a_filter_that_changes_while_an_image_is_open_stays(page: "Page", written: Written) -> None:
    show(page, written)
    page.locator("#gallery .thumb").first.click()
    page.locator("#filter-kind").evaluate("menu => { menu.value = 'all'; menu.dispatchEvent(new Event('change')); }")
    page.keyboard.press("Escape")
    assert "kind=all" in page.url
    assert "image" not in page.url
    assert len(shown_index(page)) == 300


@pytest.mark.parametrize("fragment", ["#true=4&kind=all", "#kind=right&image=7"])
def test_a_shared_address_scrolls_to_its_images(page: "Page", written: Written, fragment: str) -> None:
    show(page, written, fragment)
    assert page.evaluate(IS_AT_IMAGES)
    assert page.evaluate(FOCUSED) == ("drawer-title" if "image" in fragment else "mistakes-title")


def test_the_drawer_lies_over_the_page(page: "Page", written: Written) -> None:
    show(page, written)
    box, places = map_places(page, written)
    canvas = page.locator("#map-canvas")
    before = canvas.bounding_box()
    # A point in the left half, which the drawer does not cover.
    x, y = places[(places[:, 0] < 500) & (places[:, 1] > 60) & (places[:, 1] < 400)][0]
    page.mouse.click(box["x"] + x, box["y"] + y)
    assert page.locator("#drawer").is_visible()
    assert canvas.bounding_box() == before
    over = "([x, y]) => document.elementFromPoint(x, y).id"
    assert page.evaluate(over, [box["x"] + x, box["y"] + y]) == "map-canvas"
    assert page.evaluate("() => Boolean(document.elementFromPoint(innerWidth - 100, 300).closest('#drawer'))")


def test_each_class_has_its_own_colour_on_the_map(page: "Page", written: Written) -> None:
    show(page, written)
    _, places = map_places(page, written)
    found = load_map(written.run)
    assert len({tuple(rgb(colour)) for colour in CATEGORIES}) == len(written.data.classes) == 10
    border = np.array(page.locator("#map-canvas").evaluate("c => [c.clientLeft, c.clientTop]"))
    distances = np.abs(places[:, None] - places[None]).sum(2) + 1e9 * np.eye(len(places))
    # Away from the names, which lie around the center.
    center = np.median(places, 0)
    lonely = distances.min(1) * (np.abs(places - center).max(1) > 170) * (found.labels == found.predictions).numpy()
    drawn = canvas_pixels(page, "#map-canvas")
    for label, colour in enumerate(CATEGORIES):
        x, y = (places[np.where(found.labels.numpy() == label, lonely, -1).argmax()] - border).round().astype(int)
        assert np.abs(drawn[y, x] - rgb(colour)).max() < 12, colour


@pytest.fixture
def sampled(written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """A page with pictures of few of its images."""
    few = functools.partial(choose_images, most_pictures=60)
    monkeypatch.setattr("visionlib.report.image_data.choose_images", few)
    report = write_report(written.run, dataset=written.data, out=tmp_path / "page.html")
    assert report.pictures.startswith("pictures of the worst 45 of 52 mistakes")
    return Written(written.run, written.data, report)


def test_every_dot_has_a_thumbnail_of_its_image(page: "Page", sampled: Written) -> None:
    show(page, sampled)
    page.select_option("#filter-kind", "all")
    index = shown_index(page)
    assert page.locator("#gallery .tile").count() == len(index) == 300
    assert page.locator(".tile.none").count() == 0
    assert page.locator("#gallery .tile.thumbnails").count() > 150
    box, places = map_places(page, sampled)
    images = sampled.data.test.images.double()
    small = torch.nn.functional.interpolate(images, 16, mode="bilinear", antialias=True).permute(0, 2, 3, 1).numpy()
    found = load_map(sampled.run)
    for at in (20, 150, 299):
        page.mouse.move(box["x"] + places[at, 0], box["y"] + places[at, 1])
        hint = page.locator("#map-hint")
        told = int(hint.inner_text().split(":")[0].removeprefix("image "))
        place = sampled.data.test.index.tolist().index(told)
        assert hint.locator(".tile").count() == 1
        show(page, sampled, f"#image={told}")
        pixels = page.locator("#picture").evaluate(
            "c => [c.width, Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)]"
        )
        drawn = np.array(pixels[1], dtype=np.float64).reshape(pixels[0], pixels[0], 4)[:, :, :3]
        factor = pixels[0] // 16
        blocks = drawn.reshape(16, factor, 16, factor, 3).mean((1, 3))
        assert np.abs(small - blocks).mean((1, 2, 3)).argmin() == place
        show(page, sampled)
        box, places = map_places(page, sampled)
    assert len(found.index) == 300


def test_the_bar_stays_in_view_and_marks_the_section(page: "Page", written: Written) -> None:
    show(page, written)
    marked = page.locator('#sections a[aria-current="true"]')
    assert marked.all_inner_texts() == ["Verdict"]
    for section, name in (("mistakes", "Images"), ("map", "Map"), ("layers", "Layers")):
        page.evaluate(f"() => document.getElementById('{section}').scrollIntoView({{ behavior: 'instant' }})")
        page.wait_for_function(f"() => document.querySelector('#sections [aria-current]').textContent === '{name}'")
        assert marked.count() == 1
        box = page.locator("nav").bounding_box()
        assert box is not None
        assert box["y"] == 0
    page.locator("#sections a", has_text="Classes").click()
    assert page.evaluate(FOCUSED) == "classes"
    page.wait_for_timeout(1000)
    assert marked.all_inner_texts() == ["Classes"]
    assert "#" not in page.url


def test_a_phone_folds_the_bar_and_hides_the_keys(page: "Page", written: Written) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    show(page, written)
    assert page.locator("#sections").is_hidden()
    page.locator("#menu").click()
    assert page.locator("#menu").get_attribute("aria-expanded") == "true"
    page.locator("#sections a", has_text="Images").click()
    assert page.locator("#sections").is_hidden()
    page.wait_for_function("() => document.getElementById('menu-here').textContent === 'Images'")
    page.locator("#gallery .thumb").first.click()
    assert not [key for key in page.locator("kbd").all() if key.is_visible()]
    assert page.locator("#show-help").is_hidden()
    assert page.locator("#drawer").evaluate("drawer => drawer.getBoundingClientRect().width") == 390


def test_a_table_shows_that_it_scrolls(page: "Page", written: Written) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    show(page, written)
    frame = page.locator(".scroll", has=page.locator("#class-table"))
    assert frame.evaluate("frame => [...frame.classList]") == ["scroll", "scrolls", "more-right"]
    assert frame.get_attribute("tabindex") == "0"
    frame.evaluate("frame => frame.scrollTo({ left: 1e6, behavior: 'instant' })")
    page.wait_for_function("() => document.querySelector('.more-left') !== null")
    assert frame.evaluate("frame => [...frame.classList]") == ["scroll", "scrolls", "more-left"]
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function("() => !document.querySelector('#class-table').parentElement.classList.contains('scrolls')")


def test_charts_and_tables_use_the_width(page: "Page", written: Written) -> None:
    show(page, written)

    def box(selector: str) -> "FloatRect":
        found = page.locator(selector).first.bounding_box()
        assert found is not None
        return found

    for left, right in (("#curves svg >> nth=0", "#curves svg >> nth=1"), ("#matrix", "#class-table")):
        first, second = box(left), box(right)
        assert first["x"] + first["width"] < second["x"]
        assert second["x"] + second["width"] > 1150
        assert first["y"] < second["y"] + second["height"]
        assert second["y"] < first["y"] + first["height"]
    assert box("#map-canvas")["width"] > 1200


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_green_is_only_for_the_true_class(page: "Page", written: Written, place: int) -> None:
    show(page, written, f"#kind=all&image={int(written.data.test.index[place])}")
    strays = page.evaluate(
        """green => Array.from(document.querySelectorAll("body *")).filter((node) => {
          const style = getComputedStyle(node);
          const isGreen = (colour) => {
            const [r, g, b] = (colour.match(/\\d+/g) || [0, 0, 0]).map(Number);
            return colour === green || (g > 1.2 * r && g > 1.2 * b);
          };
          const colours = [style.backgroundColor, style.color, style.borderTopColor, style.fill, style.stroke];
          return colours.some(isGreen) && !node.closest(".true");
        }).map((node) => node.outerHTML.slice(0, 100))""",
        f"rgb({', '.join(map(str, rgb(TRUE_CLASS)))})",
    )
    assert strays == []
    assert page.locator(".target.true").count() >= 1


def test_badges_have_a_legend_and_maps_tell_the_sanity_check(page: "Page", written: Written) -> None:
    show(page, written, f"#kind=explained&image={int(written.data.test.index[3])}")
    legend = page.locator("#badges").inner_text()
    for words in ("L label candidate", "D near-duplicate in training", "M has maps"):
        assert words in legend
    titles = page.locator(".method h4").all_inner_texts()
    assert titles == ["layercam-fused failed the sanity check", "grad-cam failed the sanity check"]


def test_an_image_without_maps_leads_to_those_with_some(page: "Page", written: Written) -> None:
    show(page, written, f"#image={int(written.data.test.index[200])}")
    page.locator("#drawer button", has_text="show images with maps").click()
    assert page.locator("#drawer").is_hidden()
    assert len(shown_index(page)) == 40
