"""Odd layers of every kind, by name."""

from tests.summary.odd_layers.attention import ATTENTION
from tests.summary.odd_layers.convolutions import CONVOLUTIONS
from tests.summary.odd_layers.layer import OddLayer
from tests.summary.odd_layers.normalization import NORMS
from tests.summary.odd_layers.pooling import PADDING, POOLING
from tests.summary.odd_layers.programs import FREQUENCIES, MATCHING, PROGRAMS
from tests.summary.odd_layers.resampling import RESAMPLING
from tests.summary.odd_layers.sequences import SEQUENCES
from tests.summary.odd_layers.shuffles import SHUFFLES
from tests.summary.odd_layers.writes import WRITES

__all__ = ["LAYERS", "REFUSED", "OddLayer"]

LAYERS: dict[str, OddLayer] = {
    **CONVOLUTIONS,
    **PADDING,
    **POOLING,
    **RESAMPLING,
    **SHUFFLES,
    **WRITES,
    **SEQUENCES,
    **ATTENTION,
    **NORMS,
    **FREQUENCIES,
    **MATCHING,
    **PROGRAMS,
}
REFUSED = frozenset(
    {
        "bilinear_with_neighbor",
        "conv_by_strided_view",
        "determinant_of_channels",
        "gradient_of_an_energy",
        "inverse_of_channels",
        "inverse_of_the_image",
        "pool_fractional",
        "pool_unpooled",
        "pool_unpooled_1d",
        "written_by_diagonal_scatter",
    }
)
"""Layers with an operation that has no receptive-field rule."""
