"""From a dataset and a configuration to a finished run folder.

The list of exports is `__init__.pyi`; each is imported on first use, so that settings and recipes need no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
