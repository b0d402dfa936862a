"""Readers of what strangers write end in an error of visionlib's own, or well: a sample of `make fuzz`.

`fuzz_corpus` holds an input for each kind of error that fuzzing has found.
"""

import random
import warnings
from pathlib import Path

import pytest

from bench.fuzz_readers import READERS
from bench.mutation import mutate
from visionlib.errors import VisionlibError

CORPUS = Path(__file__).parent / "fuzz_corpus"
MUTANTS = 60
FOUND = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.glob("*/*"))


@pytest.mark.parametrize("found", FOUND)
def test_what_fuzzing_has_found_is_told(found: str, tmp_path: Path) -> None:
    name = found.partition("/")[0]
    with pytest.raises(VisionlibError) as caught:
        READERS[name].prepare(tmp_path)((CORPUS / found).read_bytes())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_valid_inputs_are_read_and_damaged_ones_told(name: str, tmp_path: Path) -> None:
    read, seeds = READERS[name].prepare(tmp_path), READERS[name].seeds()
    for seed in seeds:
        if name != "archive":  # one of its members is a link, which is refused
            read(seed)
    draw, told = random.Random(0), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(MUTANTS):
            try:
                read(mutate(draw.choice(seeds), draw))
            except VisionlibError as error:
                told += 1
                assert "\n" not in str(error)  # noqa: PT017
    assert told > MUTANTS // 4
