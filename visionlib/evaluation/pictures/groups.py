"""Weak groups as stored images, the mistakes of each group first, with true and predicted class."""

import torch
from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.data.class_names import CAPTION_PATH_LENGTH, embed_name, tidy_path
from visionlib.drawing.image_grid import draw_images
from visionlib.errors import RunError
from visionlib.evaluation.groups.weak_groups import WeakGroups
from visionlib.evaluation.groups.wording import describe_groups
from visionlib.evaluation.wording import percent


def draw_groups(groups: WeakGroups, split: ImageSplit, *, count: int = 12, columns: int = 6) -> Figure:
    """Draw the first images of every weak group below its description.

    Args:
        groups: of the split.
        split: the images that were searched.
        count: most images of each group.
        columns: images in a row.
    Raises:
        RunError: if the split lacks an image of a group.
        ConfigError: if there are more than 1,000 images to draw.
    """
    position_of = {image: position for position, image in enumerate(split.index.tolist())}
    positions: list[int] = []
    captions: list[str] = []
    headings: dict[int, str] = {}
    for number, group in enumerate(groups.groups, 1):
        figures = f"{percent(group.accuracy)} of {group.n:,} correct, same classes {percent(group.expected_accuracy)}"
        headings[len(positions)] = f"{number}. {group.description}: {figures}"
        for image, source, true, said, is_correct, _ in group.images.to_rows()[:count]:
            if image not in position_of:
                raise RunError("images", f"lack number {image} of a group", "give the split that was searched")
            positions.append(position_of[image])
            lines = ["right" if is_correct else f"said {embed_name(said)}", f"is {embed_name(true)}"]
            if source is not None:
                lines.append(tidy_path(source, CAPTION_PATH_LENGTH))
            captions.append("\n".join(lines))
    images: UInt8[Tensor, "m c h w"] = split.images[torch.tensor(positions, dtype=torch.int64)].cpu()
    order = " The mistakes of each group come first." if positions else ""
    return draw_images(images, captions, title=describe_groups(groups) + order, headings=headings, columns=columns)
