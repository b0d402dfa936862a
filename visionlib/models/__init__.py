"""Networks for small images, their weights, and what they predict.

errors <- runs <- data <- models | summary <- training <- evaluation
       <- explanation | inspection | export <- report <- cli
"""

from typing import TYPE_CHECKING

from visionlib.lazy import lazy_exports

__all__ = [
    "MODELS",
    "MODEL_NAMES",
    "ModelBuilder",
    "Predictions",
    "build_model",
    "load_weights",
    "normalize_images",
    "predict",
    "predict_logits",
    "prepare_inputs",
]

if TYPE_CHECKING:
    from visionlib.models.checkpoints import load_weights
    from visionlib.models.names import MODEL_NAMES
    from visionlib.models.normalize import normalize_images, prepare_inputs
    from visionlib.models.prediction import Predictions, predict, predict_logits
    from visionlib.models.registry import MODELS, ModelBuilder, build_model
else:
    # No module of this package may bear the name of an export: importing it would put the module in the export's place.
    __getattr__ = lazy_exports(
        __name__,
        {
            "MODELS": "visionlib.models.registry",
            "MODEL_NAMES": "visionlib.models.names",
            "ModelBuilder": "visionlib.models.registry",
            "Predictions": "visionlib.models.prediction",
            "build_model": "visionlib.models.registry",
            "load_weights": "visionlib.models.checkpoints",
            "normalize_images": "visionlib.models.normalize",
            "predict": "visionlib.models.prediction",
            "predict_logits": "visionlib.models.prediction",
            "prepare_inputs": "visionlib.models.normalize",
        },
    )
