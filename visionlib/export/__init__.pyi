from .classifier import PictureClassifier as PictureClassifier
from .hub import export_hub as export_hub
from .onnx_file import OnnxExport as OnnxExport
from .onnx_file import export_onnx as export_onnx
from .program import export_program as export_program
