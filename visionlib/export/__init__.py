"""A trained network for others: ONNX, `torch.export`, a hub folder, a page; each compared with its source.

The list of exports is `__init__.pyi`; each is imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
