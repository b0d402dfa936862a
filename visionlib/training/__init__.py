"""From a dataset and a configuration to a finished run folder.

Settings and recipes are at hand without torch; the rest comes in when it is first used.
"""

from typing import TYPE_CHECKING

from visionlib.lazy import lazy_exports
from visionlib.training.config import TrainConfig as TrainConfig
from visionlib.training.recipes import RECIPES as RECIPES
from visionlib.training.recipes import recipe_config as recipe_config

if TYPE_CHECKING:
    from visionlib.training.device import Compute as Compute
    from visionlib.training.device import choose_compute as choose_compute
    from visionlib.training.rate_finder import RateFinding as RateFinding
    from visionlib.training.rate_finder import find_learning_rate as find_learning_rate
    from visionlib.training.train_run import resume as resume
    from visionlib.training.train_run import train as train
    from visionlib.training.trained_model import load_model as load_model
else:
    __getattr__ = lazy_exports(
        __name__,
        {
            "Compute": "visionlib.training.device",
            "RateFinding": "visionlib.training.rate_finder",
            "choose_compute": "visionlib.training.device",
            "find_learning_rate": "visionlib.training.rate_finder",
            "load_model": "visionlib.training.trained_model",
            "resume": "visionlib.training.train_run",
            "train": "visionlib.training.train_run",
        },
    )
