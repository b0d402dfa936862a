"""The tests, and how annotations are checked while they run: an int may stand for a float, as PEP 484 has it."""

from beartype import BeartypeConf, beartype

check_annotations = beartype(conf=BeartypeConf(is_pep484_tower=True))
