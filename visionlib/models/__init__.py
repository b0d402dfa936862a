"""Networks for small images, and their weights.

The list of exports is `__init__.pyi`; each is imported on first use, so that the names of networks need no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
