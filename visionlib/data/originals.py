"""`Originals`: what pictures were before they became pixels of one size."""

from collections import Counter
from dataclasses import dataclass, replace

from jaxtyping import Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Originals:
    """Size and mode of each picture of a split, as its file has them.

    Attributes:
        sizes: height and width in pixels, held upright as its EXIF orientation tells.
        modes: mode of each picture in Pillow's words, such as `RGB`, `L` for grey and `P` for a palette; with
            `+transparency` if pixels can be transparent and the mode does not say so itself.
    """

    sizes: Int64[Tensor, "n 2"]
    modes: tuple[str, ...]

    def count_modes(self) -> dict[str, int]:
        """Count the pictures of each mode, the commonest first."""
        return dict(Counter(self.modes).most_common())

    def subset(self, positions: Int64[Tensor, "k"]) -> "Originals":
        """Take those at `positions`, in that order."""
        positions = positions.cpu()
        return replace(self, sizes=self.sizes[positions], modes=tuple(self.modes[at] for at in positions.tolist()))
