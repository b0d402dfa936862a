"""A picture of the images that excite channels most."""

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.drawing.class_names import embed_name
from visionlib.drawing.tiles import DrawnBox, Tile, draw_tiles, show_image
from visionlib.errors import RunError
from visionlib.explanation.exciting_images import ExcitingImages

_MOST_CHANNELS = 40
_LARGEST_BOX = 0.75
"""Share of the image above which a box would only frame it."""
_WHAT = {"peak": "largest value of the map", "mean": "mean of the map"}


def draw_exciting_images(found: ExcitingImages, images: UInt8[Tensor, "n c h w"]) -> Figure:
    """Draw a group of images for each channel, the strongest first, with a box around what the channel saw.

    Where the position with the largest value sees at most three quarters of the image, the box is that part; where it
    sees more, or that is not known, a dashed box is the position itself on the layer's grid.

    Args:
        found: for at most 40 channels.
        images: the whole split that was searched, pixels as stored.
    Raises:
        RunError: if the images are not as many as were searched, or the channels are too many for a picture.
    """
    if len(images) != found.n:
        told = f"there are {len(images):,} for {found.n:,} that were searched"
        raise RunError("images", told, "give the split that was searched")
    if len(found.channels) > _MOST_CHANNELS:
        remedy = f"choose at most {_MOST_CHANNELS}, such as with take({_MOST_CHANNELS})"
        raise RunError("channels", f"{len(found.channels)} are too many for a picture", remedy)
    groups = [
        (describe_channel(found, place), [_tile(found, images, place, rank) for rank in range(found.k)])
        for place in range(len(found.channels))
    ]
    boxes = "Solid box: what the position with the largest value sees. Dashed: that position, where it sees nearly all."
    return draw_tiles(groups, title=f"{_title(found)} {boxes}")


def describe_exciting_images(found: ExcitingImages) -> str:
    """Say in words what `draw_exciting_images` shows."""
    parts = []
    for place in range(len(found.channels)):
        names = ", ".join(embed_name(found.classes[label]) for label in found.labels[place].tolist())
        parts.append(f"{describe_channel(found, place)}: {names}")
    return f"{_title(found)} {'; '.join(parts)}."


def describe_channel(found: ExcitingImages, place: int) -> str:
    """Say in a line how much a channel's strongest image stands out."""
    channel, mean = found.channels[place], float(found.means[place])
    if bool(found.is_constant[place]):
        return f"channel {channel}: {mean:.3g} for every image, so none excites it"
    above = float(found.stands_out[place])
    top = float(found.values[place, 0])
    return f"channel {channel}: up to {top:.3g}, mean {mean:.3g}; the first stands out by {above:.1f} deviations"


def _title(found: ExcitingImages) -> str:
    rows, columns = found.layer.resolution
    return (
        f"Images of {found.n:,} that excite channels of {found.layer.name} most ({rows} x {columns} positions), by the "
        f"{_WHAT[found.by]}."
    )


def _tile(found: ExcitingImages, images: UInt8[Tensor, "n c h w"], place: int, rank: int) -> Tile:
    image = images[int(found.positions[place, rank])]
    name = embed_name(found.classes[int(found.labels[place, rank])])
    caption = (name, f"{int(found.index[place, rank])}: {float(found.values[place, rank]):.3g}")
    return Tile(show_image(image), caption, (_box(found, place, rank, (image.shape[1], image.shape[2])),))


def _box(found: ExcitingImages, place: int, rank: int, size: tuple[int, int]) -> DrawnBox:
    field = found.fields[place][rank]
    if field is not None:
        (top, bottom), (left, right) = field
        if (bottom - top + 1) * (right - left + 1) <= _LARGEST_BOX * size[0] * size[1]:
            return left, top, right, bottom, False
    cells = [length / count for length, count in zip(size, found.layer.resolution, strict=True)]
    row, column = found.places[place, rank].tolist()
    return column * cells[1], row * cells[0], (column + 1) * cells[1] - 1, (row + 1) * cells[0] - 1, True
