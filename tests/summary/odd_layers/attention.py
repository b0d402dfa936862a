"""Attention and gates."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.summary.odd_layers.layer import (
    OddLayer,
    by_windows,
    conv,
    linear,
    odd,
    weight,
)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    return (q @ k.mT / 2 + bias).softmax(-1) @ v


def _rows(x: Tensor, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to rows as sequences (rows, positions, channels)."""
    n, c, h, w = x.shape
    return mix(x.permute(0, 2, 3, 1).reshape(n * h, w, c)).view(n, h, w, -1).permute(0, 3, 1, 2)


def _by_grid(x: Tensor, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function to the positions that lie a quarter of the height and of the width apart, as in MaxViT."""
    n, c, h, w = x.shape
    cut = x.view(n, c, 4, h // 4, 4, w // 4).permute(0, 3, 5, 2, 4, 1).reshape(-1, 16, c)
    return mix(cut).view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 3, 1, 4, 2).reshape(x.shape)


def _shift_mask(windows: int) -> Tensor:
    """Separate the regions that a roll by two made neighbors, in windows of 4 x 4 on 8 x 12."""
    region = torch.zeros(8, 12)
    for row, rows in enumerate((slice(0, 4), slice(4, 6), slice(6, 8))):
        for column, columns in enumerate((slice(0, 8), slice(8, 10), slice(10, 12))):
            region[rows, columns] = 3 * row + column
    cut = region.view(2, 4, 3, 4).transpose(1, 2).reshape(6, 16)
    mask = torch.where(cut[:, :, None] == cut[:, None], 0.0, -torch.inf)
    return mask.repeat(windows // 6, 1, 1)


def _blocks(n: int, side: int) -> Tensor:
    index = torch.arange(n) // side
    return (index[:, None] == index).float()


ATTENTION: dict[str, OddLayer] = {
    "attention_in_windows": odd(
        lambda x, net: by_windows(x, lambda w: net(w, w, w)[0]),
        size=(2, 8, 12),
        margin=0,
        net=lambda: nn.MultiheadAttention(4, 2, batch_first=True),
    ),
    "attention_in_windows_unbatched_heads": odd(
        lambda x, qkv: by_windows(
            x,
            lambda w: (
                _attend(*qkv(w).unflatten(2, (3, 2, 2)).permute(2, 0, 3, 1, 4).unbind(0)).transpose(1, 2).flatten(2)
            ),
        ),
        size=(2, 8, 12),
        margin=0,
        qkv=linear(4, 12),
    ),
    "attention_in_shifted_windows": odd(
        lambda x: by_windows(x.roll((-2, -2), (2, 3)), lambda w: _attend(w, w, w)).roll((2, 2), (2, 3)),
        size=(2, 8, 12),
        margin=None,
    ),
    "attention_in_shifted_windows_masked": odd(
        lambda x: by_windows(x.roll((-2, -2), (2, 3)), lambda w: _attend(w, w, w, _shift_mask(len(w)).to(w))).roll(
            (2, 2), (2, 3)
        ),
        size=(2, 8, 12),
        margin=None,
    ),
    "attention_in_grid": odd(lambda x: _by_grid(x, lambda w: _attend(w, w, w)), size=(2, 8, 12), margin=0),
    "attention_in_windows_with_position_bias": odd(
        lambda x, table: by_windows(
            x, lambda w: _attend(w, w, w, table()[:, (torch.arange(16)[:, None] - torch.arange(16)) + 15][0])
        ),
        size=(2, 8, 12),
        margin=0,
        table=weight(1, 31),
    ),
    "attention_axial": odd(
        lambda x: (
            _rows(x, lambda s: _attend(s, s, s)) + _rows(x.transpose(2, 3), lambda s: _attend(s, s, s)).transpose(2, 3)
        ),
        margin=None,
    ),
    "attention_axial_in_sequence": odd(
        lambda x: _rows(_rows(x, lambda s: _attend(s, s, s)).transpose(2, 3), lambda s: _attend(s, s, s)).transpose(
            2, 3
        ),
        margin=0,
    ),
    "attention_causal_along_rows": odd(
        lambda x: _rows(x, lambda s: F.scaled_dot_product_attention(s, s, s, is_causal=True)), margin=None
    ),
    "attention_causal_by_fill": odd(
        lambda x: _rows(
            x, lambda s: (s @ s.mT).masked_fill(torch.ones(12, 12).triu(1).bool(), -torch.inf).softmax(-1) @ s
        ),
        margin=None,
    ),
    "attention_in_blocks_by_bool_mask": odd(
        lambda x: _rows(x, lambda s: F.scaled_dot_product_attention(s, s, s, attn_mask=_blocks(12, 4).bool())),
        margin=None,
    ),
    "attention_in_blocks_by_float_mask": odd(
        lambda x: _rows(x, lambda s: (s @ s.mT + _blocks(12, 3).log().to(s)).softmax(-1) @ s), margin=None
    ),
    "attention_in_blocks_by_module": odd(
        lambda x, net: _rows(x, lambda s: net(s, s, s, attn_mask=~_blocks(12, 4).bool(), need_weights=False)[0]),
        net=lambda: nn.MultiheadAttention(4, 2, batch_first=True),
        margin=None,
    ),
    "attention_with_padding_mask": odd(
        lambda x, net: _rows(x, lambda s: net(s, s, s, key_padding_mask=(torch.arange(12) > 7).expand(len(s), -1))[0]),
        net=lambda: nn.MultiheadAttention(4, 1, batch_first=True),
        margin=None,
    ),
    "attention_banded": odd(
        lambda x: _rows(x, lambda s: _attend(s, s, s, torch.ones(12, 12).triu(-2).tril(2).log().to(s))), margin=None
    ),
    "attention_of_neighbors": odd(
        lambda x: (lambda k: ((x[:, :, None] * k).sum(1, keepdim=True).softmax(2) * k).sum(2))(
            F.unfold(x, 3, padding=1).view(-1, 4, 9, *x.shape[2:])
        )
    ),
    "attention_of_shifted_neighbors": odd(
        lambda x: (lambda k: ((x[:, None] * k).sum(2, keepdim=True).softmax(1) * k).sum(1))(
            torch.stack([F.pad(x, (2, 2))[..., i : i + x.shape[3]] for i in range(5)], 1)
        )
    ),
    "attention_over_channels": odd(
        lambda x: (lambda f: (f @ f.mT).softmax(-1) @ f)(x.flatten(2)).view(x.shape), margin=0
    ),
    "attention_over_channels_locally": odd(
        lambda x: (lambda t: ((t @ t.mT).softmax(-1) @ t)[..., 0])(x.permute(0, 2, 3, 1)[..., None]).permute(0, 3, 1, 2)
    ),
    "attention_linear": odd(
        lambda x: (lambda t: (F.elu(t) + 1) @ ((F.elu(t) + 1).mT @ t))(x.flatten(2).mT).mT.view(x.shape), margin=0
    ),
    "attention_linear_causal": odd(
        lambda x: _rows(x, lambda s: torch.einsum("nld,nlde->nle", s, torch.einsum("nld,nle->nlde", s, s).cumsum(1))),
        margin=None,
    ),
    "attention_to_memory": odd(
        lambda x, k, v: _rows(x, lambda s: (s @ k().T).softmax(-1) @ v()), k=weight(6, 4), v=weight(6, 3)
    ),
    "attention_from_queries": odd(
        lambda x, q, net: net(q().expand(x.shape[0], -1, -1), x.flatten(2).mT, x.flatten(2).mT)[0].flatten(1),
        q=weight(1, 3, 4),
        net=lambda: nn.MultiheadAttention(4, 2, batch_first=True),
        margin=0,
    ),
    "attention_non_local": odd(
        lambda x, q, k, v: x + (v(x).flatten(2) @ (q(x).flatten(2).mT @ k(x).flatten(2)).softmax(1)).view(x.shape),
        q=conv(kernel=1),
        k=conv(kernel=1),
        v=conv(kernel=1),
        margin=0,
    ),
    "attention_pooled_keys": odd(
        lambda x: (lambda k: (_attend(x.flatten(2).mT, k, k)).mT.view(x.shape))(F.avg_pool2d(x, 2).flatten(2).mT),
        margin=0,
    ),
    "attention_criss_cross": odd(
        lambda x: torch.einsum(
            "nhwk,nhwkc->nchw",
            torch.cat([torch.einsum("nchw,nchv->nhwv", x, x), torch.einsum("nchw,ncgw->nhwg", x, x)], 3).softmax(3),
            torch.cat(
                [
                    x.permute(0, 2, 3, 1)[:, :, None].expand(-1, -1, x.shape[3], -1, -1),
                    x.permute(0, 3, 2, 1)[:, None].expand(-1, x.shape[2], -1, -1, -1),
                ],
                3,
            ),
        ),
        margin=None,
    ),
    "transformer_layer_over_rows": odd(
        lambda x, net: _rows(x, net), net=lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), margin=0
    ),
    "transformer_layer_causal": odd(
        lambda x, net: _rows(
            x,
            lambda s: net(
                s, src_mask=nn.Transformer.generate_square_subsequent_mask(12, dtype=s.dtype), is_causal=True
            ),
        ),
        net=lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=True),
        margin=None,
    ),
    "patches_and_class_token": odd(
        lambda x, embed, token, net: net(torch.cat([token().expand(x.shape[0], 1, 4), embed(x).flatten(2).mT], 1))[
            :, 1:
        ].mT.reshape(-1, 4, 2, 3),
        embed=conv(kernel=4, stride=4),
        token=weight(1, 1, 4),
        net=lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
        size=(2, 8, 12),
        margin=0,
    ),
    "patches_and_class_token_alone": odd(
        lambda x, embed, token: torch.cat([token().expand(x.shape[0], 1, 4), embed(x).flatten(2).mT + 1], 1)[
            :, 1:
        ].mT.reshape(-1, 4, 2, 3),
        embed=conv(kernel=4, stride=4),
        token=weight(1, 1, 4),
        size=(2, 8, 12),
        margin=0,
    ),
    "patch_merging": odd(
        lambda x, net: net(
            torch.cat([x.permute(0, 2, 3, 1)[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
        ).permute(0, 3, 1, 2),
        net=linear(16, 5),
    ),
    "patches_embedded_by_linear": odd(
        lambda x, net: net(x.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).flatten(3)).permute(0, 3, 1, 2),
        net=linear(16, 5),
    ),
    "gate_squeeze_excitation": odd(
        lambda x, a, b: x * b(a(x.mean((2, 3), keepdim=True)).relu() + 0.1).sigmoid(),
        a=conv(4, 2, 1),
        b=conv(2, 4, 1),
        margin=0,
    ),
    "gate_cbam": odd(
        lambda x: (lambda y: y * (y.mean(1, keepdim=True) + y.amax(1, keepdim=True)).sigmoid())(
            x * (x.mean((2, 3), keepdim=True) + x.amax((2, 3), keepdim=True)).sigmoid()
        ),
        margin=0,
    ),
    "gate_spatial": odd(
        lambda x, net: x * net(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)).sigmoid(),
        net=conv(2, 1, padding=1),
    ),
    "gate_by_rows_and_columns": odd(
        lambda x: x * x.mean(3, keepdim=True).sigmoid() * x.mean(2, keepdim=True).sigmoid(), margin=None
    ),
    "gate_coordinates": odd(
        lambda x, net: (lambda y: x * y[:, :, :10].sigmoid() * y[:, :, 10:].transpose(2, 3).sigmoid())(
            net(torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], 2))
        ),
        net=conv(kernel=1),
        margin=None,
    ),
    "gate_global_context": odd(
        lambda x, mask: x + (x.flatten(2) @ mask(x).flatten(2).softmax(2).mT)[..., None], mask=conv(4, 1, 1), margin=0
    ),
    "gate_global_response": odd(
        lambda x: (lambda g: x + x * g / (g.mean(1, keepdim=True) + 1e-6))(x.norm(dim=(2, 3), keepdim=True)), margin=0
    ),
    "lambda_layer": odd(
        lambda x: torch.einsum(
            "nkl,nkv->nvl", x.flatten(2), torch.einsum("nkl,nvl->nkv", x.flatten(2).softmax(2), x.flatten(2))
        ).view(x.shape),
        margin=0,
    ),
    "position_embedding": odd(lambda x, table: x + table(), table=weight(1, 4, 10, 12), margin=0),
    "position_embedding_resized": odd(
        lambda x, table: x + F.interpolate(table(), size=x.shape[2:], mode="bicubic"), table=weight(1, 4, 5, 5)
    ),
    "position_embedding_rotary": odd(
        lambda x: (
            lambda a: torch.cat([x[:, :2] * a.cos() - x[:, 2:] * a.sin(), x[:, :2] * a.sin() + x[:, 2:] * a.cos()], 1)
        )(torch.arange(x.shape[3]).to(x) * 0.1)
    ),
}
