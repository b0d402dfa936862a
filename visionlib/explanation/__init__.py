"""Maps of the evidence for a class, measures of their reliability, and the features of a network's layers."""

from visionlib.explanation.exciting_images import ExcitingImages as ExcitingImages
from visionlib.explanation.exciting_images import find_exciting_images as find_exciting_images
from visionlib.explanation.explain import explain as explain
from visionlib.explanation.explain import explain_run as explain_run
from visionlib.explanation.explanation import Explanation as Explanation
from visionlib.explanation.feature_maps import FeatureMaps as FeatureMaps
from visionlib.explanation.feature_maps import extract_feature_maps as extract_feature_maps
from visionlib.explanation.filters import Filters as Filters
from visionlib.explanation.filters import read_filters as read_filters
from visionlib.explanation.map_layers import MapLayer as MapLayer
from visionlib.explanation.map_layers import list_map_layers as list_map_layers
from visionlib.explanation.methods import DEFAULT_METHOD as DEFAULT_METHOD
from visionlib.explanation.methods import METHODS as METHODS
from visionlib.explanation.methods import make_map_maker as make_map_maker
from visionlib.explanation.reliance import Reliance as Reliance
from visionlib.explanation.reliance import load_reliance as load_reliance
from visionlib.explanation.reliance import measure_reliance as measure_reliance
from visionlib.explanation.stored_explanations import StoredExplanations as StoredExplanations
from visionlib.explanation.stored_explanations import load_explanations as load_explanations
