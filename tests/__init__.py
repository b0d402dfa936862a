"""The tests of visionlib, which check its annotations while they run."""

from tests.annotations import check_annotations, install

__all__ = ["check_annotations"]
install()
