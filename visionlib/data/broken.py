"""Decode the pictures that can be read, and name those that cannot."""

from collections.abc import Callable, Sequence

from jaxtyping import UInt8
from torch import Tensor

from visionlib.data.dataset import Originals
from visionlib.data.decode import Picture, Resize, decode_pictures
from visionlib.errors import BrokenPicturesError


def decode_whole_pictures(
    pictures: Sequence[Picture],
    *,
    image_size: int | None,
    description: str,
    describe: Callable[[], str],
    skip_broken: bool,
    resize: Resize = "crop",
) -> tuple[UInt8[Tensor, "k c h w"], Originals, list[str], list[int]]:
    """Decode pictures as `decode_pictures` does; on request without broken ones, which the last warning names.

    Returns:
        As `decode_pictures`, and the position in `pictures` of each image.
    """
    kept, left_out = list(range(len(pictures))), list[str]()
    while True:
        try:
            images, originals, messages = decode_pictures(
                [pictures[at] for at in kept],
                image_size=image_size,
                description=description,
                describe=describe,
                resize=resize,
            )
        except BrokenPicturesError as error:
            if not skip_broken or len(error.positions) == len(kept):
                raise
            broken = {kept[at] for at in error.positions}
            left_out += [pictures[at].name for at in sorted(broken)]
            kept = [at for at in kept if at not in broken]
        else:
            if left_out:
                messages.append(f"pictures that cannot be read were left out, {len(left_out)}: {', '.join(left_out)}")
            return images, originals, messages, kept
