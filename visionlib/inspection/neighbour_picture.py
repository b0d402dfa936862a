"""A picture of test images beside the training images that look most alike to the network."""

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.errors import RunError
from visionlib.inspection.captions import RIGHT, WRONG, shorten_name, show_pixels, wrap_lines
from visionlib.inspection.neighbours import Neighbours

_NAME_EMS = 8.6
_TITLE = (
    f"Test images (left) and their nearest training images by cosine distance. {RIGHT} and a solid frame: the test "
    f"image's own label; {WRONG} and a dashed frame: another one"
)


def draw_neighbours(
    neighbours: Neighbours,
    images: UInt8[Tensor, "n c h w"],
    neighbour_images: UInt8[Tensor, "n k c h w"],
) -> Figure:
    """Draw a row per test image: the image, then its neighbours, nearest first, with class and distance.

    Args:
        neighbours: of the images to draw.
        images: raw pixels of the test images, in the same order.
        neighbour_images: raw pixels of their neighbours.
    Raises:
        RunError: if there is no image, or the images are not as many as the neighbours are of.
    """
    if not len(neighbours) == len(images) == len(neighbour_images) or not len(images):
        raise RunError("neighbours", f"are of {len(neighbours)} images, with {len(images)} to draw", "draw 1 or more")
    columns = neighbours.k + 1
    width = max(7.5, 1.25 * columns)
    figure = Figure(figsize=(width, 1.95 * len(neighbours) + 0.8), layout="constrained")
    panels = figure.subplots(len(neighbours), columns, squeeze=False)
    for row, told in enumerate(neighbours.to_rows()):
        is_right = told["class"] == told["predicted"]
        label, predicted = (shorten_name(told[part], _NAME_EMS) for part in ("class", "predicted"))
        caption = f"test {told['index']}\n{label}\npredicted {RIGHT if is_right else WRONG}\n{predicted}"
        show_pixels(panels[row, 0], images[row], caption=caption)
        for column, neighbour in enumerate(told["neighbours"], 1):
            is_same = neighbour["class"] == told["class"]
            sign, name = RIGHT if is_same else WRONG, shorten_name(neighbour["class"], _NAME_EMS)
            show_pixels(
                panels[row, column],
                neighbour_images[row, column - 1],
                caption=f"{sign} {name}\n{neighbour['index']}\ndistance {neighbour['distance']:.3f}",
                is_right=is_same,
            )
    figure.suptitle(wrap_lines(_TITLE, round(13 * width)), fontsize=10, parse_math=False)
    return figure


def describe_neighbours(neighbours: Neighbours) -> str:
    """Say in words what `draw_neighbours` shows."""
    parts = []
    for told in neighbours.to_rows():
        names = ", ".join(shorten_name(neighbour["class"], 40) for neighbour in told["neighbours"])
        label, predicted = (shorten_name(told[part], 40) for part in ("class", "predicted"))
        parts.append(f"test image {told['index']}, {label}, predicted {predicted}: {names}")
    return f"Test images, each with its {neighbours.k} nearest training images. {'; '.join(parts)}."
