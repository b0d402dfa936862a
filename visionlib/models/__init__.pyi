from .checkpoints import load_weights as load_weights
from .names import MODEL_NAMES as MODEL_NAMES
from .registry import MODELS as MODELS
from .registry import ModelBuilder as ModelBuilder
from .registry import build_model as build_model
