"""Packages that import their parts on first use, so that `visionlib --help` never waits for torch."""

import importlib
from collections.abc import Callable


def lazy_exports(package: str, homes: dict[str, str]) -> Callable[[str], object]:
    """Make a module's `__getattr__` that imports a public name from its home when it is first asked for.

    Args:
        package: the package's `__name__`.
        homes: public name -> the module that defines it.
    Source: PEP 562.
    """

    def __getattr__(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return __getattr__
