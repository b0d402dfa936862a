"""What a network makes of an image, where it looks, and whether the maps of that can be believed."""

from visionlib.explanation.exciting_images import ExcitingImages as ExcitingImages
from visionlib.explanation.exciting_images import find_exciting_images as find_exciting_images
from visionlib.explanation.explain import explain as explain
from visionlib.explanation.explanation import Explanation as Explanation
from visionlib.explanation.feature_maps import FeatureMaps as FeatureMaps
from visionlib.explanation.feature_maps import extract_feature_maps as extract_feature_maps
from visionlib.explanation.filters import Filters as Filters
from visionlib.explanation.filters import read_filters as read_filters
from visionlib.explanation.kept import load_explanations as load_explanations
from visionlib.explanation.kept import save_explanations as save_explanations
from visionlib.explanation.map_layers import MapLayer as MapLayer
from visionlib.explanation.map_layers import list_map_layers as list_map_layers
from visionlib.explanation.methods import DEFAULT_METHOD as DEFAULT_METHOD
from visionlib.explanation.methods import METHODS as METHODS
from visionlib.explanation.methods import make_map_maker as make_map_maker
