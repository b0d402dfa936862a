"""Where a network looks: maps of the evidence for a class, and measures of whether they can be believed."""

from visionlib.explanation.explain import explain as explain
from visionlib.explanation.explanation import Explanation as Explanation
from visionlib.explanation.kept import load_explanations as load_explanations
from visionlib.explanation.kept import save_explanations as save_explanations
from visionlib.explanation.methods import DEFAULT_METHOD as DEFAULT_METHOD
from visionlib.explanation.methods import METHODS as METHODS
from visionlib.explanation.methods import make_map_maker as make_map_maker
from visionlib.explanation.spatial_layers import SpatialLayer as SpatialLayer
from visionlib.explanation.spatial_layers import find_spatial_layers as find_spatial_layers
