"""The images with the largest activation of each channel, with its receptive field."""

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.drawing.image_grid import DrawnBox, Tile, draw_grid, image_pixels
from visionlib.errors import RunError
from visionlib.explanation.exciting_images import ExcitingImages

_MOST_CHANNELS = 40
_LARGEST_BOX = 0.75
"""Largest fraction of the image that a box may cover; a larger one would only frame the image."""
_MEASURE = {"peak": "largest value of the map", "mean": "mean of the map"}


def draw_exciting_images(exciting: ExcitingImages, images: UInt8[Tensor, "n c h w"]) -> Figure:
    """Draw a group of images for each channel, the largest activation first, with a box around its position.

    The box is the receptive field of that position if it covers at most three quarters of the image. If it is larger
    or unknown, a dashed box is the position itself on the layer's grid.

    Args:
        exciting: for at most 40 channels.
        images: all images of the searched split, stored pixels.
    Raises:
        RunError: if the number of images is not that of the search, or the channels are too many for a picture.
    """
    if len(images) != exciting.n:
        problem = f"there are {len(images):,} for {exciting.n:,} that were searched"
        raise RunError("images", problem, "give the split that was searched")
    if len(exciting.channels) > _MOST_CHANNELS:
        remedy = f"choose at most {_MOST_CHANNELS}, such as with take({_MOST_CHANNELS})"
        raise RunError("channels", f"{len(exciting.channels)} are too many for a picture", remedy)
    groups = [
        (describe_channel(exciting, number), [_tile(exciting, images, number, rank) for rank in range(exciting.k)])
        for number in range(len(exciting.channels))
    ]
    boxes = "Solid box: what the position with the largest value sees. Dashed: that position, where it sees nearly all."
    return draw_grid(groups, title=f"{_title(exciting)} {boxes}")


def describe_exciting_images(exciting: ExcitingImages) -> str:
    """Describe the picture in words."""
    parts = []
    for number in range(len(exciting.channels)):
        names = ", ".join(embed_name(exciting.classes[label]) for label in exciting.labels[number].tolist())
        parts.append(f"{describe_channel(exciting, number)}: {names}")
    return f"{_title(exciting)} {'; '.join(parts)}."


def describe_channel(exciting: ExcitingImages, number: int) -> str:
    """Describe in one line the distance of a channel's strongest image from the mean."""
    channel, mean = exciting.channels[number], float(exciting.means[number])
    if bool(exciting.is_constant[number]):
        return f"channel {channel}: {mean:.3g} for every image, so none excites it"
    above = float(exciting.stands_out[number])
    top = float(exciting.values[number, 0])
    return f"channel {channel}: up to {top:.3g}, mean {mean:.3g}; the first stands out by {above:.1f} std"


def _title(exciting: ExcitingImages) -> str:
    rows, columns = exciting.layer.resolution
    layer = f"{exciting.layer.name} most ({rows} x {columns} positions)"
    return f"Images of {exciting.n:,} that excite channels of {layer}, by the {_MEASURE[exciting.by]}."


def _tile(exciting: ExcitingImages, images: UInt8[Tensor, "n c h w"], number: int, rank: int) -> Tile:
    image = images[int(exciting.positions[number, rank])]
    name = embed_name(exciting.classes[int(exciting.labels[number, rank])])
    caption = (name, f"{int(exciting.index[number, rank])}: {float(exciting.values[number, rank]):.3g}")
    return Tile(image_pixels(image), caption, (_box(exciting, number, rank, (image.shape[1], image.shape[2])),))


def _box(exciting: ExcitingImages, number: int, rank: int, size: tuple[int, int]) -> DrawnBox:
    field = exciting.fields[number][rank]
    if field is not None:
        (top, bottom), (left, right) = field
        if (bottom - top + 1) * (right - left + 1) <= _LARGEST_BOX * size[0] * size[1]:
            return left, top, right, bottom, False
    cells = [length / count for length, count in zip(size, exciting.layer.resolution, strict=True)]
    row, column = exciting.places[number, rank].tolist()
    return column * cells[1], row * cells[0], (column + 1) * cells[1] - 1, (row + 1) * cells[0] - 1, True
