"""Weak groups: images that a network classifies worse than others of their classes, and what these have in common."""

from visionlib.evaluation.groups.find import find_groups as find_groups
from visionlib.evaluation.groups.find import search_groups as search_groups
from visionlib.evaluation.groups.weak_groups import Group as Group
from visionlib.evaluation.groups.weak_groups import WeakGroups as WeakGroups
from visionlib.evaluation.groups.weak_groups import load_groups as load_groups
