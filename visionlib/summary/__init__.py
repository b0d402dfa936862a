"""The layer table of any network, with receptive fields that are exact at every position.

errors <- runs <- data <- models | summary <- training <- evaluation
       <- explanation | inspection | export <- report <- cli
"""

from typing import TYPE_CHECKING

from visionlib.lazy import lazy_exports

__all__ = ["LayerSummary", "ModelSummary", "summarize"]

if TYPE_CHECKING:
    from visionlib.summary.layer_table import summarize
    from visionlib.summary.record import LayerSummary, ModelSummary
else:
    __getattr__ = lazy_exports(
        __name__,
        {
            "LayerSummary": "visionlib.summary.record",
            "ModelSummary": "visionlib.summary.record",
            "summarize": "visionlib.summary.layer_table",
        },
    )
