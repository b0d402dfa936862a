from .config import TrainConfig as TrainConfig
from .import_checkpoint import import_checkpoint as import_checkpoint
from .rate_finder import RateFinding as RateFinding
from .rate_finder import find_learning_rate as find_learning_rate
from .recipes import RECIPES as RECIPES
from .recipes import recipe_config as recipe_config
from .train_run import resume as resume
from .train_run import train as train
