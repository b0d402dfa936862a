from .layer_table import summarize as summarize
from .record import LayerSummary as LayerSummary
from .record import ModelSummary as ModelSummary
