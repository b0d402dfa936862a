"""Interpolation, sampling grids, and positions moved to channels and back."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.summary.odd_layers.layer import OddLayer, conv, linear, module, odd, treated_as


def _resized(x: Tensor, to: int, of: int, mode: str = "bilinear") -> Tensor:
    h, w = (side * to // of for side in x.shape[2:])
    return F.interpolate(x, size=(h, w), mode=mode, antialias=True)


def _resize_matrix(n: int, out: int) -> Tensor:
    return F.interpolate(torch.eye(n)[:, None], size=out, mode="linear")[:, 0].T


def _lifted(x: Tensor) -> Tensor:
    """Lifting: a predicted and an updated half, interleaved again."""
    even, odd = x[..., ::2], x[..., 1::2]
    detail = odd - 0.5 * (even + even.roll(-1, 3))
    smooth = even + 0.25 * (detail + detail.roll(1, 3))
    return torch.stack([smooth, detail], 4).flatten(3)


def _zeros_inserted(x: Tensor) -> Tensor:
    z = x.new_zeros(x.shape[0], 4, 2 * x.shape[2], 2 * x.shape[3])
    z[..., ::2, ::2] = x
    return z


def _reassembled(x: Tensor, net: nn.Module) -> Tensor:
    weights = F.pixel_shuffle(net(x), 2).softmax(1)
    windows = F.interpolate(F.unfold(x, 3, padding=1).view(-1, 36, *x.shape[2:]), scale_factor=2)
    return (windows.view(-1, 4, 9, *windows.shape[2:]) * weights[:, None]).sum(2)


def _affine(x: Tensor, matrix: Any, size: tuple[int, int] | None = None, align_corners: bool = False) -> Tensor:
    theta = torch.tensor(matrix, dtype=x.dtype)[None]
    grid = F.affine_grid(theta, [1, 4, *(size or x.shape[2:])], align_corners=align_corners)
    return grid.expand(x.shape[0], -1, -1, -1)


def _sampled(
    x: Tensor, matrix: Any, size: tuple[int, int] | None = None, *, align_corners: bool = False, **settings: Any
) -> Tensor:
    return F.grid_sample(x, _affine(x, matrix, size, align_corners), align_corners=align_corners, **settings)


def _polar(x: Tensor) -> Tensor:
    radius, angle = torch.meshgrid(torch.linspace(0.1, 0.9, 6), torch.linspace(0, 6, 9), indexing="ij")
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1).to(x.dtype).expand(x.shape[0], -1, -1, -1)


RESAMPLING: dict[str, OddLayer] = {
    "nearest_by_2": module(lambda: nn.Upsample(scale_factor=2)),
    "nearest_by_seven_tenths": module(lambda: nn.Upsample(scale_factor=0.7), margin=20),
    "nearest_exact_by_3_halves": module(lambda: nn.Upsample(scale_factor=1.5, mode="nearest-exact")),
    "nearest_to_size": module(lambda: nn.Upsample(size=(13, 17)), margin=0),
    "bilinear_by_2": module(lambda: nn.Upsample(scale_factor=2, mode="bilinear")),
    "bilinear_by_17_tenths": module(lambda: nn.Upsample(scale_factor=1.7, mode="bilinear"), margin=10),
    "bilinear_by_17_tenths_recomputed": module(
        lambda: nn.Upsample(scale_factor=1.7, mode="bilinear", recompute_scale_factor=True), margin=None
    ),
    "bilinear_by_half": module(lambda: nn.Upsample(scale_factor=0.5, mode="bilinear")),
    "bilinear_aligned": module(lambda: nn.Upsample(size=(15, 21), mode="bilinear", align_corners=True), margin=0),
    "bilinear_aligned_down": module(lambda: nn.Upsample(size=(4, 5), mode="bilinear", align_corners=True), margin=0),
    "bilinear_antialiased_13_to_5": odd(lambda x: _resized(x, 5, 13), size=(2, 13, 13), margin=13),
    "bilinear_antialiased_15_to_9": odd(lambda x: _resized(x, 9, 15), size=(2, 15, 10), margin=10),
    "bilinear_antialiased_uneven": odd(
        lambda x: F.interpolate(x, size=(7, 5), mode="bilinear", antialias=True), margin=None
    ),
    "bilinear_antialiased_aligned": odd(
        lambda x: F.interpolate(x, size=(4, 7), mode="bilinear", antialias=True, align_corners=True), margin=None
    ),
    "bilinear_antialiased_up": odd(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", antialias=True)),
    "bilinear_antialiased_16_to_12": odd(lambda x: _resized(x, 3, 4), size=(2, 12, 8), margin=8),
    "bicubic_by_2": module(lambda: nn.Upsample(scale_factor=2, mode="bicubic")),
    "bicubic_aligned": module(lambda: nn.Upsample(size=(7, 23), mode="bicubic", align_corners=True), margin=None),
    "bicubic_antialiased_15_to_9": odd(lambda x: _resized(x, 9, 15, mode="bicubic"), size=(2, 15, 10), margin=10),
    "bicubic_antialiased_by_half": odd(lambda x: _resized(x, 1, 2, mode="bicubic"), margin=8),
    "bicubic_by_3_halves": module(lambda: nn.Upsample(scale_factor=1.5, mode="bicubic")),
    "area": odd(lambda x: F.interpolate(x, size=(4, 5), mode="area"), margin=0),
    "area_by_half": odd(lambda x: F.interpolate(x, scale_factor=0.5, mode="area")),
    "linear_1d": module(lambda: nn.Upsample(scale_factor=2.5, mode="linear"), size=(2, 16), margin=8),
    "linear_1d_aligned": module(lambda: nn.Upsample(size=9, mode="linear", align_corners=True), size=(2, 17), margin=0),
    "trilinear": module(lambda: nn.Upsample(scale_factor=(1, 2, 2), mode="trilinear"), size=(1, 2, 3, 3), margin=4),
    "nearest_3d": module(lambda: nn.Upsample(scale_factor=(2, 1, 0.5)), size=(1, 2, 2, 4), margin=4),
    "down_and_up": odd(
        lambda x: (
            x + F.interpolate(F.interpolate(x, scale_factor=0.5, mode="bilinear"), scale_factor=2, mode="bilinear")
        )
    ),
    "laplacian_pyramid": odd(
        lambda x, down: x - F.interpolate(down(x), scale_factor=2, mode="bilinear"), down=conv(stride=2, padding=1)
    ),
    "cropped_skip_connection": odd(
        lambda x, down, up: up(down(x)) + x[..., 1:-1, 2:],
        down=conv(kernel=4, stride=2),
        up=lambda: nn.ConvTranspose2d(4, 4, 2, 2),
    ),
    "misaligned_skip_connection": odd(
        lambda x, down: torch.cat([F.interpolate(down(x), size=x.shape[2:]), x], 1), down=conv(stride=2, padding=1)
    ),
    "resized_by_matrix": treated_as(
        odd(lambda x: torch.einsum("nchw,ih->nciw", x, _resize_matrix(x.shape[2], 7).to(x)), margin=0),
        lambda x: torch.einsum("nchw,ih->nciw", x, 1 + _resize_matrix(x.shape[2], 7).to(x)),
        "weights are assumed to be non-zero",
    ),
    "pixel_shuffle": odd(lambda x: F.pixel_shuffle(x, 2)),
    "pixel_unshuffle": odd(lambda x: F.pixel_unshuffle(x, 2)),
    "pixel_shuffle_by_view": odd(
        lambda x: (
            x.view(-1, 1, 2, 2, *x.shape[2:]).permute(0, 1, 4, 2, 5, 3).reshape(-1, 1, 2 * x.shape[2], 2 * x.shape[3])
        )
    ),
    "pixel_shuffle_by_einops_order": odd(
        lambda x: x.unflatten(1, (2, 2, 1)).permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)
    ),
    "pixel_shuffle_1d": odd(lambda x: x.unflatten(1, (2, 2)).transpose(2, 3).flatten(2, 3), size=(2, 16)),
    "focus": odd(
        lambda x, conv: conv(torch.cat([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)),
        conv=conv(16, 4, padding=1),
    ),
    "haar": odd(
        lambda x: torch.cat(
            [
                (x[..., ::2, :] + s * x[..., 1::2, :])[..., ::2] + t * (x[..., ::2, :] + s * x[..., 1::2, :])[..., 1::2]
                for s in (1, -1)
                for t in (1, -1)
            ],
            1,
        )
    ),
    "haar_and_back": odd(lambda x: _lifted(x)),
    "polyphase_max_norm": odd(lambda x: torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1).amax(1)),
    "strided_slice": odd(lambda x: x[..., 1::3, ::2], margin=6),
    "zeros_inserted": odd(lambda x: _zeros_inserted(x)),
    "repeated": odd(lambda x: x.repeat_interleave(2, 2).repeat_interleave(3, dim=3)),
    "repeated_unevenly": odd(
        lambda x: x.repeat_interleave(torch.tensor([1, 2] * (x.shape[3] // 2)), dim=3), margin=None
    ),
    "repeated_by_expanding": odd(
        lambda x: x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(-1, 4, 2 * x.shape[2], 2 * x.shape[3])
    ),
    "repeated_by_kronecker_product": odd(lambda x: torch.kron(x, torch.ones(1, 1, 2, 2, dtype=x.dtype))),
    "carafe": odd(lambda x, net: _reassembled(x, net), net=conv(4, 36, padding=1)),
    "grid_scaled": odd(lambda x: _sampled(x, [[0.9, 0, 0], [0, 0.9, 0]]), size=(2, 12, 12), margin=0),
    "grid_scaled_nearest": odd(lambda x: _sampled(x, [[0.9, 0, 0], [0, 0.7, 0]], mode="nearest"), margin=0),
    "grid_scaled_bicubic": odd(lambda x: _sampled(x, [[0.7, 0, 0], [0, 0.7, 0]], mode="bicubic"), margin=0),
    "grid_quarter_turn": odd(
        lambda x: _sampled(x, [[0, 1.0, 0], [-1.0, 0, 0]], mode="nearest"), size=(2, 12, 12), margin=0
    ),
    "grid_turned": odd(lambda x: _sampled(x, [[0.96, 0.28, 0], [-0.28, 0.96, 0]]), size=(2, 12, 12), margin=None),
    "grid_shifted": odd(lambda x: _sampled(x, [[1, 0, 0.25], [0, 1, 0]], padding_mode="border"), margin=None),
    "grid_flipped": odd(lambda x: _sampled(x, [[-1.0, 0, 0], [0, 1, 0]], align_corners=True, mode="nearest"), margin=0),
    "grid_reflected": odd(lambda x: _sampled(x, [[1.3, 0, 0], [0, 1.2, 0.1]], padding_mode="reflection"), margin=None),
    "grid_aligned": odd(lambda x: _sampled(x, [[0.5, 0, 0.3], [0, 0.5, 0]], align_corners=True), margin=0),
    "grid_to_another_size": odd(lambda x: _sampled(x, [[0.9, 0, 0], [0, 0.9, 0]], size=(5, 7)), margin=0),
    "grid_polar": odd(lambda x: F.grid_sample(x, _polar(x), align_corners=False), margin=0),
    "grid_per_channel_group": odd(
        lambda x: F.grid_sample(
            x.reshape(-1, 2, *x.shape[2:]),
            _affine(x, [[0.9, 0, 0], [0, 0.9, 0]]).repeat_interleave(2, 0),
            align_corners=False,
        ).view(x.shape),
        margin=0,
    ),
    "grid_3d": odd(
        lambda x: F.grid_sample(
            x,
            F.affine_grid(0.8 * torch.eye(3, 4, dtype=x.dtype)[None], [1, 4, *x.shape[2:]], align_corners=False).expand(
                x.shape[0], -1, -1, -1, -1
            ),
            align_corners=False,
        ),
        size=(1, 3, 5, 6),
        margin=0,
    ),
    "grid_from_the_image": treated_as(
        odd(
            lambda x, net: F.grid_sample(
                x, _affine(x, [[1, 0, 0], [0, 1, 0]]) + 0.1 * net(x).permute(0, 2, 3, 1), align_corners=False
            ),
            net=conv(4, 2, 1),
            margin=0,
        ),
        lambda x: x + x.mean((2, 3), keepdim=True),
        "positions that depend on the image may lie anywhere",
    ),
    "spatial_transformer": odd(
        lambda x, net: F.grid_sample(
            x, F.affine_grid(net(x.flatten(1)).view(-1, 2, 3), list(x.shape), align_corners=False), align_corners=False
        ),
        net=linear(480, 6),
        margin=0,
    ),
}
