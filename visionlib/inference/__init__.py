"""A trained network with its preprocessing and its classes: from a run, a checkpoint or memory; and its predictions.

The list of exports is `__init__.pyi`; each is imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
