"""Reshaping, permuting and expanding: rules for views that keep all elements."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from visionlib.summary.operation import Operation, RuleResult, normalize_dim
from visionlib.summary.receptive_fields import INVARIANT, Dimension, ReceptiveFields


def reshape(op: Operation) -> RuleResult:
    """Give the same elements another shape."""
    return reshape_fields(op.input_fields, op.first.shape, op.outputs[0].shape)


def permute(op: Operation) -> RuleResult:
    """Reorder dimensions."""
    return op.input_fields.permute([normalize_dim(dim, op["self"].ndim) for dim in op["dims"]])


def transpose(op: Operation) -> RuleResult:
    """Swap two dimensions."""
    ndim = op["self"].ndim
    order = list(range(ndim))
    if ndim > 1:
        a, b = normalize_dim(op.get("dim0", 0), ndim), normalize_dim(op.get("dim1", 1), ndim)
        order[a], order[b] = order[b], order[a]
    return op.input_fields.permute(order)


def expand(op: Operation) -> RuleResult:
    """Repeat dimensions of size 1 without a copy."""
    inputs, fields = op["self"], op.input_fields
    new = op.outputs[0].ndim - inputs.ndim
    fields = fields.align(op.outputs[0].ndim)
    for dim in range(inputs.ndim):
        if inputs.shape[dim] == 1 != op.outputs[0].shape[new + dim]:
            fields = fields.set_dimension(new + dim, INVARIANT)
    return fields


def reshape_fields(fields: ReceptiveFields, old: Sequence[int], new: Sequence[int]) -> ReceptiveFields:
    """Reshape from `old` to `new`; a dimension that is in both keeps its periodicity, and its size 1 in the bounds."""
    pairs = _match_dimensions(old, new)
    bounds = []
    for bound in fields.bounds:
        shape, expanded = [bound.shape[0]], [bound.shape[0]]
        for olds, news in pairs:
            sizes = [bound.shape[dim + 1] for dim in olds]
            is_invariant = all(size == 1 for size in sizes)
            if len(olds) == len(news) == 1:
                expanded += sizes
                shape += sizes
            else:
                # Elements of split or merged dimensions are addressed one by one, unless all are the same.
                expanded += sizes if is_invariant else [old[dim] for dim in olds]
                shape += [1 if is_invariant else new[dim] for dim in news]
        bounds.append(bound.expand(expanded).reshape(shape))
    dims = _reshape_dimensions(fields, old, new, pairs)
    return replace(fields, bounds=tuple(bounds), dims=tuple(dims)).find_periodicities(new)


def _reshape_dimensions(
    fields: ReceptiveFields, old: Sequence[int], new: Sequence[int], pairs: Sequence[tuple[list[int], list[int]]]
) -> list[Dimension]:
    dims: list[Dimension] = []
    for olds, news in pairs:
        if len(olds) == len(news) == 1:
            dims.append(fields.dims[olds[0]])
        elif news:
            parts = [part for dim in olds for part in fields.dims[dim].parts or ((old[dim], fields.dims[dim].axes),)]
            dims += _split_parts(parts, [new[dim] for dim in news])
        elif dims:
            # A dimension of size 1 vanishes. A later reduction of the one before it reduces it as well.
            vanished = fields.dims[olds[0]]
            dims[-1] = replace(dims[-1], dropped=dims[-1].dropped | vanished.axes | vanished.dropped)
    return dims


def _split_parts(parts: Sequence[tuple[int, frozenset[int]]], sizes: Sequence[int]) -> list[Dimension]:
    """Split merged dimensions again: a new one moves along the axes of the parts from which its index is made."""
    spans = _spans([size for size, _ in parts])
    ends = sorted({end for span in (*spans, *_spans(sizes)) for end in span})
    # An index is made of whole digits of the old ones only where each end divides the next; else of any of them.
    is_nested = all(after % before == 0 for before, after in itertools.pairwise(ends))
    dims = []
    for size, (low, high) in zip(sizes, _spans(sizes), strict=True):
        inside = [
            (min(high, upper) // max(low, lower) if is_nested else part_size, axes)
            for (part_size, axes), (lower, upper) in zip(parts, spans, strict=True)
            if size > 1 and (not is_nested or max(low, lower) < min(high, upper))
        ]
        axes = frozenset[int]().union(*(axes for _, axes in inside))
        is_merged = axes and is_nested and len(inside) > 1
        dims.append(Dimension(axes, parts=tuple(inside) if is_merged else ()))
    return dims


def _spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Per dimension of a contiguous tensor, the distance of neighbouring elements and that times their number."""
    return [(math.prod(sizes[dim + 1 :]), math.prod(sizes[dim:])) for dim in range(len(sizes))]


def _match_dimensions(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Pair the dimensions of two shapes of the same elements: the shortest runs with equal products."""
    pairs: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            olds, news = [i], [j]
        elif i < len(old) and old[i] == 1:
            olds, news = [i], []
        elif j < len(new) and new[j] == 1:
            olds, news = [], [j]
        else:
            olds, news = [i], [j]
            while (a := math.prod(old[dim] for dim in olds)) != (b := math.prod(new[dim] for dim in news)):
                shorter = olds if a < b else news
                shorter.append(shorter[-1] + 1)
        pairs.append((olds, news))
        i, j = i + len(olds), j + len(news)
    return pairs
