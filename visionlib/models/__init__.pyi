from .checkpoints import load_weights as load_weights
from .initial_weights import open_weights as open_weights
from .names import MODEL_NAMES as MODEL_NAMES
from .pretrained import list_pretrained as list_pretrained
from .registry import MODELS as MODELS
from .registry import ModelBuilder as ModelBuilder
from .registry import build_model as build_model
