"""Looking at a dataset: by itself, and through the eyes of a run."""

from visionlib.inspection.duplicate_picture import draw_duplicates as draw_duplicates
from visionlib.inspection.duplicates import DuplicatePair as DuplicatePair
from visionlib.inspection.duplicates import Duplicates as Duplicates
from visionlib.inspection.duplicates import find_duplicates as find_duplicates
from visionlib.inspection.duplicates import write_duplicates as write_duplicates
