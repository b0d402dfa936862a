"""Test images beside their nearest training images by the embeddings."""

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.drawing.lettering import write_title
from visionlib.drawing.palette import RIGHT_SIGN, WRONG_SIGN
from visionlib.errors import RunError
from visionlib.inspection.framed_image import fit_name, fit_source, show_framed
from visionlib.inspection.neighbours import Neighbours

_NAME_WIDTH_PT = 69
_FILE_WIDTH_PT = 80
_TITLE = (
    "Test images (left) and their nearest training images by cosine distance. "
    f"{RIGHT_SIGN} and a solid frame: the test image's own label; {WRONG_SIGN} and a dashed frame: another one"
)


def draw_neighbours(
    neighbours: Neighbours, images: UInt8[Tensor, "n c h w"], neighbour_images: UInt8[Tensor, "n k c h w"]
) -> Figure:
    """Draw a row per test image: the image, then its neighbours, nearest first, with class and distance.

    Args:
        neighbours: of the images to draw.
        images: stored pixels of the test images, in the same order.
        neighbour_images: stored pixels of their neighbours.
    Raises:
        RunError: if there is no image, or the numbers of images differ.
    """
    if not len(neighbours) == len(images) == len(neighbour_images) or not len(images):
        raise RunError("neighbours", f"are of {len(neighbours)} images, with {len(images)} to draw", "draw 1 or more")
    columns = neighbours.k + 1
    row_height = 1.95 if neighbours.sources is None else 2.1
    figure = Figure(figsize=(max(7.5, 1.25 * columns), row_height * len(neighbours) + 0.8), layout="constrained")
    panels = figure.subplots(len(neighbours), columns, squeeze=False)
    for row, record in enumerate(neighbours.to_rows()):
        is_right = record["class"] == record["predicted"]
        label, predicted = (fit_name(record[part], _NAME_WIDTH_PT) for part in ("class", "predicted"))
        caption = f"test {record['index']}\n{label}\npredicted {RIGHT_SIGN if is_right else WRONG_SIGN}\n{predicted}"
        caption += fit_source(record["source"], _FILE_WIDTH_PT)
        show_framed(panels[row, 0], images[row], caption)
        for column, neighbour in enumerate(record["neighbours"], 1):
            is_same = neighbour["class"] == record["class"]
            sign, name = RIGHT_SIGN if is_same else WRONG_SIGN, fit_name(neighbour["class"], _NAME_WIDTH_PT)
            caption = f"{sign} {name}\n{neighbour['index']}\ndistance {neighbour['distance']:.3f}"
            caption += fit_source(neighbour["source"], _FILE_WIDTH_PT)
            show_framed(panels[row, column], neighbour_images[row, column - 1], caption, is_right=is_same)
    write_title(figure, _TITLE, size=10)
    return figure


def describe_neighbours(neighbours: Neighbours) -> str:
    """Describe the picture in words."""
    parts = []
    for record in neighbours.to_rows():
        names = ", ".join(embed_name(neighbour["class"]) for neighbour in record["neighbours"])
        label, predicted = (embed_name(record[part]) for part in ("class", "predicted"))
        parts.append(f"test image {record['index']}, {label}, predicted {predicted}: {names}")
    return f"Test images, each with its {neighbours.k} nearest training images. {'; '.join(parts)}."
