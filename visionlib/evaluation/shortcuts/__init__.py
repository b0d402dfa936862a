"""Shortcuts: properties of an image that tell its class without its object, in the data and to a network."""

from visionlib.evaluation.shortcuts.find import find_shortcuts as find_shortcuts
from visionlib.evaluation.shortcuts.result import Shortcuts as Shortcuts
