"""The exact test within classes against numbers by hand, enumeration, and scipy's test of a single table."""

import itertools
import math
from fractions import Fraction
from statistics import NormalDist

import pytest
import torch

from visionlib.evaluation.groups.proposals import score_conjunctions
from visionlib.evaluation.groups.stratified import Stratum, count_strata, exact_p, expected_accuracy


def test_the_lady_tasting_tea() -> None:
    # Of eight cups four are wrong, and the group holds three of these among four: (4 * 4 + 1) of 70 choices.
    assert exact_p((Stratum(n=8, wrong=4, group_n=4, group_wrong=3),)) == pytest.approx(17 / 70)


def test_two_classes_by_hand() -> None:
    # In either class one of two images is wrong, and the group holds it: a chance of a half in each.
    pair = Stratum(n=2, wrong=1, group_n=1, group_wrong=1)
    assert exact_p((pair, pair)) == pytest.approx(1 / 4)
    assert exact_p((pair, Stratum(n=2, wrong=1, group_n=1, group_wrong=0))) == pytest.approx(3 / 4)


def test_a_class_that_is_the_group_teaches_nothing() -> None:
    assert exact_p((Stratum(n=50, wrong=40, group_n=50, group_wrong=40),)) == 1
    one = Stratum(n=8, wrong=4, group_n=4, group_wrong=3)
    assert exact_p((one, Stratum(n=9, wrong=9, group_n=9, group_wrong=9))) == pytest.approx(exact_p((one,)))
    assert exact_p(()) == 1


@pytest.mark.parametrize("members", [(0, 1, 4), (2, 3, 5, 6), (0, 2), (4, 5, 6, 7, 8)])
def test_p_is_the_fraction_of_all_ways_to_deal_the_mistakes(members: tuple[int, ...]) -> None:
    classes, wrong = ((0, 1, 2, 3), (4, 5, 6, 7, 8)), {1, 4, 5}
    ways = list(itertools.product(*(itertools.combinations(part, len(wrong & set(part))) for part in classes)))
    observed = len(wrong & set(members))
    as_many = sum(len(set(members) & {*first, *second}) >= observed for first, second in ways)
    strata = count_strata(
        torch.tensor([position in members for position in range(9)]),
        torch.tensor([position in wrong for position in range(9)]),
        torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1]),
    )
    assert exact_p(strata) == pytest.approx(float(Fraction(as_many, len(ways))))


@pytest.mark.parametrize("table", [(2000, 130, 90, 22), (500, 3, 100, 1), (40, 39, 20, 20), (10_000, 900, 3_000, 340)])
def test_one_class_is_fishers_test(table: tuple[int, int, int, int]) -> None:
    from scipy.stats import fisher_exact

    n, wrong, group_n, group_wrong = table
    others = [wrong - group_wrong, (n - wrong) - (group_n - group_wrong)]
    expected = fisher_exact([[group_wrong, group_n - group_wrong], others], alternative="greater").pvalue
    assert exact_p((Stratum(*table),)) == pytest.approx(expected, rel=1e-6)


def test_the_expected_accuracy_has_the_groups_classes() -> None:
    # Others of the first class: 2 of 6 wrong; of the second: none of 4. Three images to one.
    strata = (Stratum(n=9, wrong=4, group_n=3, group_wrong=2), Stratum(n=5, wrong=1, group_n=1, group_wrong=1))
    assert expected_accuracy(strata) == pytest.approx(1 - (3 * 2 / 6 + 0) / 4)
    assert expected_accuracy((Stratum(n=3, wrong=1, group_n=3, group_wrong=1),)) is None


def test_the_score_is_that_of_a_slow_loop() -> None:
    torch.manual_seed(1)
    labels = torch.randint(0, 3, (200,)).sort().values
    left, right = (torch.rand(200, 4) < 0.5).float(), (torch.rand(200, 5) < 0.6).float()
    wrong = (torch.rand(200) < 0.2).float()
    wrong[left[:, 0] * right[:, 0] > 0] = 1.0
    scores = score_conjunctions(left, right, wrong, labels)
    for first, second in itertools.product(range(4), range(5)):
        group = (left[:, first] * right[:, second]).bool()
        strata = count_strata(group, wrong.bool(), labels)
        observed = sum(table.group_wrong for table in strata)
        expected = sum(Fraction(table.group_n * table.wrong, table.n) for table in strata)
        variance = sum(
            Fraction(
                table.group_n * (table.n - table.group_n) * table.wrong * (table.n - table.wrong),
                table.n**2 * (table.n - 1),
            )
            for table in strata
        )
        binomial = sum(
            Fraction(table.group_n * (table.n - table.group_n) * table.wrong, table.n**2) for table in strata
        )
        slow = 0.0
        if observed >= 3 and observed > expected and int(group.sum()) >= 8:
            trials = float(expected**2 / (expected - binomial))
            deviance = observed * math.log(observed / expected)
            if trials > observed:
                deviance += (trials - observed) * math.log((trials - observed) / (trials - float(expected)))
            slow = (2 * max(0.0, deviance) * float(binomial / variance)) ** 0.5
        assert float(scores[first, second]) == pytest.approx(slow, abs=1e-5)
    assert float(scores[0, 0]) > 5


def test_the_score_of_one_class_by_hand() -> None:
    # Of 100 images 19 are wrong, and 15 of these are in the group of 33.
    group = (torch.arange(100) < 33).float()[:, None]
    wrong = torch.cat([torch.ones(15), torch.zeros(18), torch.ones(4), torch.zeros(63)])
    mean = 19 * 33 / 100
    deviance = 2 * (15 * math.log(15 / mean) + 4 * math.log(4 / (19 - mean)))
    score = score_conjunctions(torch.ones(100, 1), group, wrong, torch.zeros(100, dtype=torch.int64))
    assert float(score) == pytest.approx(math.sqrt(deviance / (81 / 99)))
    # The exact test's p-value, as a normal score, is close.
    assert float(score) == pytest.approx(-NormalDist().inv_cdf(exact_p((Stratum(100, 19, 33, 15),))), abs=0.2)
