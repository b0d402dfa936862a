"""The parts of a step are summed along one tree, and leave statistics as one part after another does."""

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from visionlib.training.distributed import SINGLE_PROCESS, ProcessGroup
from visionlib.training.parts import PartSum, _list_nodes

AddRows = Callable[[torch.Tensor], torch.Tensor]


def tree_sum(values: list[torch.Tensor]) -> torch.Tensor:
    """The largest power of two of them, summed by halves, plus the sum of the rest."""
    if len(values) == 1:
        return values[0]
    half = 1 << ((len(values) - 1).bit_length() - 1)
    return tree_sum(values[:half]) + tree_sum(values[half:])


def sum_in(processes: int, values: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Sum one gradient per part, None where it is NaN, in processes that take turns."""
    sent: list[torch.Tensor] = []
    rows = torch.zeros(0)

    def exchange(self: ProcessGroup, own: torch.Tensor, counts: list[int], add: AddRows) -> torch.Tensor:
        sent.append(own)
        assert len(own) == counts[self.rank]
        return add(rows.clone()) if len(rows) else own.sum(0)

    monkeypatch.setattr(ProcessGroup, "sum_rows", exchange)
    network = nn.Linear(1, len(values[0]), bias=False)
    for _ in range(2):  # the second time all rows are known
        rows = torch.cat(sent) if sent else rows
        sent.clear()
        for rank in range(processes):
            step = PartSum(network, group := ProcessGroup(rank, processes), len(values), len(values))
            for part in group.own_parts(len(values)):
                step.begin()
                network.weight.grad = None if values[part].isnan().any() else values[part][:, None].clone()
                step.add(part, torch.tensor(0.5), torch.tensor(part))
            loss, correct = step.finish()
    assert loss.item() == 0.5 * len(values)
    assert correct.item() == sum(range(len(values)))
    assert network.weight.grad is not None
    return network.weight.grad[:, 0].clone()


@pytest.mark.parametrize(("parts", "processes"), [(1, 1), (4, 1), (4, 2), (4, 4), (6, 2), (7, 3), (8, 5), (5, 5)])
def test_the_sum_is_that_of_one_tree(parts: int, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [*torch.randn(parts, 100).exp().double().float()]
    assert torch.equal(sum_in(processes, values, monkeypatch), tree_sum(values))


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_gradient_may_be_absent_in_some_parts(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    absent, values = torch.full((3,), torch.nan), [torch.tensor([1.0, 2, 3]), torch.tensor([10.0, 20, 30])]
    given = [absent, values[0], absent, absent, values[1]]
    assert sum_in(processes, given, monkeypatch).tolist() == [11, 22, 33]


def test_nodes_of_a_range_are_whole_subtrees() -> None:
    assert _list_nodes(range(8)) == [(0, 8)]
    assert _list_nodes(range(3)) == [(0, 2), (2, 1)]
    assert _list_nodes(range(3, 8)) == [(3, 1), (4, 4)]
    assert _list_nodes(range(0)) == []


def test_each_process_has_its_range_of_parts() -> None:
    for size, parts in itertools.product(range(1, 6), range(1, 9)):
        owned = [list(ProcessGroup(rank, size).own_parts(parts)) for rank in range(size)]
        assert list(itertools.chain(*owned)) == list(range(max(size, parts)))
        assert max(map(len, owned)) - min(map(len, owned)) <= 1
        shards = [ProcessGroup(rank, size).shard(torch.arange(21), parts) for rank in range(size)]
        assert torch.cat(shards).tolist() == list(range(21))


@pytest.mark.parametrize("momentum", [0.1, 0.6, None])
def test_statistics_are_those_of_one_part_after_another(momentum: float | None) -> None:
    norm, mask = nn.BatchNorm1d(5, momentum=momentum), torch.tensor([0.0, -torch.inf])
    network = nn.Sequential(norm, nn.Linear(5, 2))
    network.register_buffer("mask", mask)
    twin, batches = copy.deepcopy(norm), torch.randn(6, 7, 5) + torch.arange(6)[:, None, None]
    for two in torch.split(batches, 2):
        step = PartSum(network, SINGLE_PROCESS, 2, 2)
        for part, batch in enumerate(two):
            step.begin()
            network(batch).sum().backward()
            step.add(part, torch.tensor(0.0), torch.tensor(0))
            twin(batch)
        step.finish()
    # Without a momentum each step counts once; of equal parts that is the same mean.
    assert norm.num_batches_tracked is not None
    assert norm.num_batches_tracked.item() == (3 if momentum is None else 6)
    torch.testing.assert_close(norm.running_mean, twin.running_mean)
    torch.testing.assert_close(norm.running_var, twin.running_var)
    assert mask.tolist() == [0.0, -torch.inf]
