"""Channels, rows and pixels in another order."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.summary.odd_layers.layer import (
    OddLayer,
    conv,
    module,
    odd,
    weight,
)


def _patches(x: Tensor, move: Callable[[Tensor], Tensor]) -> Tensor:
    """Cut an image of 8 x 12 into six patches of 4 x 4, move them, and put it together again."""
    cut = x.view(-1, 4, 2, 4, 3, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 6, 4, 4, 4)
    return move(cut).reshape(-1, 2, 3, 4, 4, 4).permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


SHUFFLES: dict[str, OddLayer] = {
    "channels_shuffled_by_view": odd(lambda x: x.view(-1, 2, 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape)),
    "channels_shuffled_by_module": module(lambda: nn.ChannelShuffle(2)),
    "channels_by_list": odd(lambda x: x[:, [0, 2, 1, 3]]),
    "channels_by_tensor": odd(lambda x: x[:, torch.tensor([2, 0, 3, 1])]),
    "channels_by_repeated_index": odd(lambda x: x[:, torch.tensor([[0, 2], [3, 0]])].flatten(1, 2)),
    "channels_by_index_select": odd(lambda x: x.index_select(1, torch.tensor([3, 2, 1, 0]))),
    "channels_by_gather": odd(lambda x: x.gather(1, torch.tensor([0, 2, 1, 3]).view(1, 4, 1, 1).expand(x.shape))),
    "channels_by_take_along_dim": odd(lambda x: torch.take_along_dim(x, torch.tensor([2, 3, 0]).view(1, 3, 1, 1), 1)),
    "channels_by_gather_per_position": odd(
        lambda x: x.gather(1, (torch.arange(x.shape[3]) % 4).view(1, 1, 1, -1).expand(x.shape[0], 1, *x.shape[2:])),
        margin=None,
    ),
    "channels_by_bool_mask": odd(lambda x: x[:, torch.tensor([True, False, True, True])]),
    "channels_by_masked_select": odd(
        lambda x: x.masked_select(torch.tensor([True, False, True, False]).view(1, 4, 1, 1)).view(-1, 2, *x.shape[2:])
    ),
    "channels_flipped": odd(lambda x: x.flip(1)),
    "channels_rolled": odd(lambda x: x.roll(1, 1)),
    "channels_chunked_and_swapped": odd(lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)),
    "channels_split_unevenly": odd(
        lambda x, conv: (lambda a, b: torch.cat([conv(b), a], 1))(*x.split([1, 3], 1)), conv=conv(3, 2, padding=1)
    ),
    "channels_interleaved_by_stack": odd(lambda x: torch.stack(x.chunk(2, 1), 2).flatten(1, 2)),
    "channels_unbound_and_stacked": odd(lambda x: torch.stack(x.unbind(1)[::-1], 1)),
    "channels_iterated": odd(lambda x: torch.stack([x[:, i] * (i + 1) for i in (3, 1)], 1)),
    "channels_unfolded_by_windows": odd(lambda x: F.unfold(x, 1).view(x.shape)),
    "channels_unfolded": odd(lambda x: x.unfold(1, 2, 1).sum(-1)),
    "channels_unfolded_kept": odd(lambda x: x.unfold(1, 2, 2).permute(0, 1, 4, 2, 3).flatten(1, 2)),
    "channels_by_permutation_matrix": odd(
        lambda x: torch.einsum("nchw,cd->ndhw", x, torch.eye(4, dtype=x.dtype)[[0, 2, 1, 3]])
    ),
    "channels_moved": odd(lambda x: x.movedim(1, -1)[..., [1, 3, 2, 0]].movedim(-1, 1)),
    "channels_swapped_by_swapaxes": odd(lambda x: x.unflatten(1, (2, 2)).swapaxes(1, 2).flatten(1, 2).contiguous()),
    "channels_tiled": odd(lambda x: torch.tile(x, (1, 2, 1, 1))[:, 1:7:2]),
    "channels_repeated": odd(lambda x: x.repeat(1, 2, 1, 1)[:, 2:6]),
    "channels_repeat_interleaved": odd(lambda x: x.repeat_interleave(2, 1)),
    "channels_sorted": odd(lambda x: x.sort(1).values),
    "channels_topk": odd(lambda x: x.topk(2, 1).values),
    "channels_kthvalue": odd(lambda x: x.kthvalue(2, 1, keepdim=True).values + x),
    "channels_argmax": odd(lambda x: F.one_hot(x.argmax(1), 4).movedim(-1, 1).to(x)),
    "channels_cumulative": odd(lambda x: x.cumsum(1)),
    "channels_softmax": odd(lambda x: (3 * x).softmax(1)),
    "channels_embedded": odd(
        lambda x, table: x + table(torch.arange(4))[..., 0].view(1, 4, 1, 1), table=lambda: nn.Embedding(4, 1)
    ),
    "channels_narrowed": odd(lambda x: x.narrow(1, 1, 2).diff(dim=1)),
    "channels_hsplit": odd(lambda x: torch.cat(torch.tensor_split(x, (1, 2), 1)[::2], 1)),
    "channels_gated": odd(lambda x: F.glu(x, 1)),
    "channels_last_memory": odd(lambda x: x.contiguous(memory_format=torch.channels_last)[:, [1, 0, 3, 2]]),
    "channels_vector_norm": odd(lambda x: x.norm(dim=1, keepdim=True)),
    "channels_outer_product": odd(lambda x: (x[:, :, None] * x[:, None]).flatten(1, 2)),
    "channels_upper_triangle": odd(
        lambda x: (x[:, :, None] * x[:, None])[:, torch.triu_indices(4, 4)[0], torch.triu_indices(4, 4)[1]]
    ),
    "rows_by_list": odd(lambda x: x[:, :, [0, 2, 1, 3, 4, 9, 8]], margin=0),
    "pixels_by_list": odd(lambda x: x[:, :, [[0, 3], [5, 9]], [[1, 0], [7, 11]]], margin=0),
    "pixels_shuffled": odd(
        lambda x: x.flatten(2)[..., torch.randperm(120, generator=torch.Generator().manual_seed(1))].view(x.shape),
        margin=0,
    ),
    "columns_by_bool_mask": odd(lambda x: x[..., torch.arange(x.shape[3]) % 3 > 0], margin=None),
    "columns_by_gather": odd(lambda x: x.gather(3, (torch.arange(x.shape[3]) // 2).expand(x.shape)), margin=0),
    "patches_in_reverse": odd(lambda x: _patches(x, lambda p: p.flip(1)), size=(2, 8, 12), margin=0),
    "patches_shuffled": odd(lambda x: _patches(x, lambda p: p[:, [3, 0, 5, 1, 4, 2]]), size=(2, 8, 12), margin=0),
    "patches_turned": odd(lambda x: _patches(x, lambda p: p.rot90(1, (3, 4))), size=(2, 8, 12), margin=0),
    "rows_alternately_reversed": odd(
        lambda x: torch.stack([x[:, :, ::2], x[:, :, 1::2].flip(3)], 3).flatten(2, 3), margin=0
    ),
    "diagonal": odd(lambda x: x.diagonal(0, 2, 3).unsqueeze(2), size=(2, 10, 10), margin=0),
    "transposed": odd(lambda x: x.transpose(2, 3)),
    "turned": odd(lambda x: x.rot90(1, (2, 3))),
    "turned_twice": odd(lambda x: x.rot90(2, (2, 3)) + x, margin=0),
    "flipped": odd(lambda x: x.flip(3)),
    "flip_equivariant": odd(
        lambda x, conv: conv(x) + conv(x.flip(3)).flip(3), conv=conv(kernel=(1, 4), padding=(0, 1))
    ),
    "rolled": odd(lambda x: x.roll((1, -2), (2, 3))),
    "group_convolution": odd(
        lambda x, w: torch.stack([F.conv2d(x, w().rot90(k, (2, 3)), padding=1) for k in range(4)], 2).flatten(1, 2),
        w=weight(2, 4, 3, 3),
    ),
}
