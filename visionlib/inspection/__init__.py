"""Looking at a dataset: by itself, and through the eyes of a run."""

from visionlib.inspection.candidate_table import tabulate_candidates as tabulate_candidates
from visionlib.inspection.candidates import LabelCandidates as LabelCandidates
from visionlib.inspection.candidates import find_candidates as find_candidates
from visionlib.inspection.candidates import load_candidates as load_candidates
from visionlib.inspection.candidates import save_candidates as save_candidates
from visionlib.inspection.duplicate_picture import draw_duplicates as draw_duplicates
from visionlib.inspection.duplicates import DuplicatePair as DuplicatePair
from visionlib.inspection.duplicates import Duplicates as Duplicates
from visionlib.inspection.duplicates import find_duplicates as find_duplicates
from visionlib.inspection.duplicates import write_duplicates as write_duplicates
from visionlib.inspection.embedding_map import EmbeddingMap as EmbeddingMap
from visionlib.inspection.embedding_map import MapSettings as MapSettings
from visionlib.inspection.embedding_map import load_map as load_map
from visionlib.inspection.embedding_map import map_embeddings as map_embeddings
from visionlib.inspection.folds import cross_validate as cross_validate
from visionlib.inspection.neighbours import Neighbours as Neighbours
from visionlib.inspection.neighbours import find_neighbours as find_neighbours
from visionlib.inspection.out_of_sample import OutOfSample as OutOfSample
from visionlib.inspection.out_of_sample import score_test as score_test
from visionlib.inspection.split_embeddings import SplitEmbeddings as SplitEmbeddings
from visionlib.inspection.split_embeddings import embed_split as embed_split
