import re
from pathlib import Path

import pytest
import torch

import visionlib
from visionlib.data.random import (
    Stream,
    random_bits,
    random_integers,
    random_order,
    random_uniform,
    random_values,
)

WORD = 1 << 64
GOLDEN = 0x9E3779B97F4A7C15


def mix(bits: int) -> int:
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) % WORD
    return bits ^ (bits >> 31)


def bits_in_python(seed: int, epoch: int, index: int, stream: int) -> int:
    bits = mix((seed + GOLDEN) % WORD)
    for coordinate in (epoch, stream, index):
        bits = mix((bits + GOLDEN * (coordinate + 1)) % WORD)
    return bits


def test_reference_gives_the_published_first_outputs_of_splitmix64() -> None:
    assert [mix(k * GOLDEN % WORD) for k in (1, 2, 3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("seed", [0, 1, -1, -(2**63), 2**63 - 1])
@pytest.mark.parametrize(
    ("epoch", "stream"), [(0, Stream.TRAINING_ORDER), (7, Stream.FLIP), (100_000, Stream.SHAPES_GRAIN)]
)
def test_bits_equal_python_integers(seed: int, epoch: int, stream: Stream) -> None:
    index = [0, 1, 49_999, 2**40, 2**63 - 1]
    drawn = random_bits(seed, epoch, torch.tensor(index), stream)
    assert [bits % WORD for bits in drawn.tolist()] == [bits_in_python(seed, epoch, k, stream) for k in index]


def test_uniform_takes_the_upper_24_bits() -> None:
    drawn = random_uniform(5, 2, torch.arange(100), Stream(3)).tolist()
    assert drawn == [(bits_in_python(5, 2, k, 3) >> 40) / 2**24 for k in range(100)]


def test_integers_take_the_upper_63_bits() -> None:
    drawn = random_integers(5, 2, torch.arange(100), Stream(3), 9).tolist()
    assert drawn == [(bits_in_python(5, 2, k, 3) >> 1) % 9 for k in range(100)]


def test_uniform_is_even_over_its_range() -> None:
    counts = torch.histc(random_uniform(0, 0, torch.arange(100_000), Stream(0)), bins=10, min=0, max=1)
    # Chi-squared with 9 degrees of freedom: 27.9 is passed by 999 of 1,000 generators.
    assert float(((counts - 10_000) ** 2 / 10_000).sum()) < 27.9


@pytest.mark.parametrize("change", ["seed", "epoch", "stream", "index"])
def test_neighbouring_coordinates_are_uncorrelated(change: str) -> None:
    index = torch.arange(100_000)
    first = random_uniform(4, 4, index, Stream(4))
    other = {
        "seed": random_uniform(5, 4, index, Stream(4)),
        "epoch": random_uniform(4, 5, index, Stream(4)),
        "stream": random_uniform(4, 4, index, Stream(5)),
        "index": random_uniform(4, 4, index + 1, Stream(4)),
    }[change]
    correlation = float(torch.corrcoef(torch.stack([first, other]))[0, 1])
    assert abs(correlation) < 4 / 100_000**0.5


def test_coordinates_do_not_stand_in_for_each_other() -> None:
    drawn = {
        int(random_bits(a, b, torch.tensor([c]), Stream(d)))
        for a, b, c, d in [(1, 2, 3, 4), (2, 1, 3, 4), (1, 3, 2, 4), (1, 2, 4, 3), (3, 2, 1, 4)]
    }
    assert len(drawn) == 5


def test_numbers_do_not_depend_on_the_slicing() -> None:
    index = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    pieces = [random_bits(1, 2, piece, Stream(3)) for piece in torch.split(index, 7)]
    assert torch.equal(torch.cat(pieces), random_bits(1, 2, index, Stream(3)))


def test_order_is_a_permutation_and_the_same_for_shuffled_indices() -> None:
    index = torch.arange(500) * 3
    order = random_order(1, 2, index, Stream(0))
    assert sorted(order.tolist()) == list(range(500))
    assert order.tolist() != list(range(500))
    shuffled = index.flip(0)
    assert torch.equal(shuffled[random_order(1, 2, shuffled, Stream(0))], index[order])


def test_many_numbers_of_an_index_are_those_of_one_more_coordinate() -> None:
    """Each is a further round of the hash over the index's own bits, between 0 and 1, both excluded."""
    index = torch.tensor([3, 900])
    values = random_values(5, index, Stream(7), 4)
    for row, bits in enumerate(random_bits(5, 0, index, Stream(7)).tolist()):
        for place in range(4):
            expected = ((mix((bits + GOLDEN * (place + 1)) % WORD) >> 12) + 0.5) / 2**52
            assert float(values[row, place]) == expected
    assert torch.equal(random_values(5, index.flip(0), Stream(7), 2), values.flip(0)[:, :2])
    many = random_values(0, torch.arange(200), Stream(7), 500)
    assert float(many.min()) > 0
    assert float(many.max()) < 1
    assert float(many.mean()) == pytest.approx(0.5, abs=4 / (12 * many.numel()) ** 0.5)
    assert abs(float(torch.corrcoef(many[:, :2].T)[0, 1])) < 4 / 200**0.5


def test_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    random_order(1, 2, torch.arange(10), Stream(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_streams_that_old_runs_and_data_depend_on_keep_their_numbers() -> None:
    augmentation = "CROP_ROWS CROP_COLUMNS FLIP CUTOUT_ROW CUTOUT_COLUMN ROTATION TRANSLATION_ROWS TRANSLATION_COLUMNS"
    augmentation += " SCALE BRIGHTNESS CONTRAST SATURATION HUE"
    assert [Stream[name] for name in augmentation.split()] == list(range(10, 23))
    assert [Stream[name] for name in ("TRAINING_ORDER", "HELD_OUT", "FOLDS")] == [0, 1, 2]
    assert [Stream[name] for name in ("SHAPES_LABELS", "SHAPES_NUMBERS", "SHAPES_GRAIN")] == [999, 1000, 1001]


def test_every_stream_has_one_number_and_one_file_that_draws_from_it() -> None:
    assert len({stream.value for stream in Stream}) == len(Stream.__members__)
    source = [path.read_text() for path in Path(visionlib.__file__).parent.rglob("*.py")]
    used = [name for text in source for name in {*re.findall(r"\bStream\.([A-Z_]+)", text)}]
    assert sorted(used) == sorted(Stream.__members__)
