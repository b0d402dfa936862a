"""`shapes`: a built-in set of drawn images, with the object's mask for every image."""

from visionlib.data.shapes.drawing import draw_shapes as draw_shapes
from visionlib.data.shapes.drawing import load_shapes as load_shapes
