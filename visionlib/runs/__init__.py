"""The run folder, in which packages meet: its layout, and records that are atomic, checksummed and typed."""

from visionlib.runs.files import check_file_place as check_file_place
from visionlib.runs.files import hash_file as hash_file
from visionlib.runs.files import replacing as replacing
from visionlib.runs.files import write_bytes as write_bytes
from visionlib.runs.json_records import SCHEMA_VERSION as SCHEMA_VERSION
from visionlib.runs.json_records import read_json as read_json
from visionlib.runs.json_records import read_json_lines as read_json_lines
from visionlib.runs.json_records import read_record as read_record
from visionlib.runs.json_records import write_json as write_json
from visionlib.runs.json_records import write_json_lines as write_json_lines
from visionlib.runs.run import Run as Run
from visionlib.runs.run import create_run as create_run
from visionlib.runs.run import open_run as open_run
from visionlib.runs.training_records import read_config as read_config
from visionlib.runs.training_records import read_history as read_history
from visionlib.runs.training_records import read_training as read_training
from visionlib.runs.trust import trust_runs as trust_runs
