"""Convolutions, with fixed, generated and masked kernels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.summary.odd_layers.layer import OddLayer, conv, conv1d, linear, module, odd, tent, treated_as, weight


def _checks(x: Tensor) -> Tensor:
    h, w = x.shape[2:]
    return ((torch.arange(h)[:, None] + torch.arange(w)) % 2 + 0.5).to(x.dtype)[None, None].expand(1, 4, h, w)


def _pixel_cnn(x: Tensor) -> Tensor:
    mask = torch.ones(1, 1, 3, 3, dtype=x.dtype)
    mask[..., 1, 2] = 0
    mask[..., 2, :] = 0
    return mask


def _coordinates(x: Tensor) -> Tensor:
    n, _, h, w = x.shape
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    return torch.stack([rows, columns]).to(x.dtype).expand(n, 2, h, w)


def _noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) + 0.5


CONVOLUTIONS: dict[str, OddLayer] = {
    "conv_dilated_strided": module(lambda: nn.Conv2d(4, 4, 3, 2, 2, dilation=2)),
    "conv_grouped_column": module(lambda: nn.Conv2d(4, 6, (3, 1), padding=(1, 0), groups=2)),
    "conv_depthwise_even": module(lambda: nn.Conv2d(4, 8, 2, groups=4)),
    "conv_stride_above_kernel": module(lambda: nn.Conv2d(4, 3, 2, 3), margin=12),
    "conv_same_even_kernel": module(lambda: nn.Conv2d(4, 4, (4, 3), padding="same")),
    "conv_reflect": module(lambda: nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect")),
    "conv_circular_strided": module(lambda: nn.Conv2d(4, 4, 3, 2, 1, padding_mode="circular")),
    "conv_replicate_uneven": module(lambda: nn.Conv2d(4, 4, (1, 5), padding=(0, 2), padding_mode="replicate")),
    "conv_transposed_output_padding": module(lambda: nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1)),
    "conv_transposed_dilated_grouped": module(lambda: nn.ConvTranspose2d(4, 4, 3, 3, dilation=2, groups=2)),
    "conv_transposed_with_gaps": module(lambda: nn.ConvTranspose2d(4, 4, 2, 3)),
    "conv_transposed_bilinear_kernel": odd(
        lambda x: F.conv_transpose2d(x, tent(x, 4), None, 2, 1, groups=4),
    ),
    "conv_of_half_the_channels": odd(
        lambda x, conv: torch.cat([conv(x[:, :2]), x[:, 2:]], 1), conv=conv(2, 2, padding=1)
    ),
    "conv_of_every_other_channel": odd(lambda x, conv: conv(x[:, ::2]), conv=conv(2, 3, (1, 3), padding=(0, 1))),
    "conv_weight_from_factors": odd(
        lambda x, u, v: F.conv2d(x, torch.einsum("ork,rcl->ockl", u(), v()), None, 1, 1),
        u=weight(4, 2, 3),
        v=weight(2, 4, 3),
    ),
    "conv_weight_standardized": odd(
        lambda x, w: F.conv2d(x, (w() - w().mean((1, 2, 3), keepdim=True)) / w().std((1, 2, 3), keepdim=True)),
        w=weight(4, 4, 3, 3),
    ),
    "conv_weight_from_constants": odd(
        lambda x, w, net: F.conv2d(x, net(w()).view(4, 4, 3, 1), padding=(1, 0)), w=weight(5), net=linear(5, 48)
    ),
    "conv_weight_from_the_image": odd(
        lambda x, net: F.conv2d(x.flatten(0, 1)[None], net(x.mean((2, 3))).view(-1, 4, 3, 3), groups=x.shape[0]).view(
            -1, 4, x.shape[2] - 2, x.shape[3] - 2
        ),
        net=linear(4, 144),
        margin=0,
    ),
    "conv_mixture_of_kernels": odd(
        lambda x, gate, a, b: (
            gate(x.mean((2, 3))).softmax(1)[:, :, None, None, None] * torch.stack([a(x), b(x)], 1)
        ).sum(1),
        gate=linear(4, 2),
        a=conv(),
        b=conv(),
        margin=0,
    ),
    "conv_partial": odd(
        lambda x, conv: (
            conv(x * _checks(x)) / (F.conv2d(_checks(x)[:, :1], torch.ones(1, 1, 3, 3).to(x), padding=1) + 1)
        ),
        conv=conv(padding=1),
    ),
    "conv_3d_over_channels": odd(
        lambda x, conv: conv(x.unsqueeze(1)).flatten(1, 2), conv=lambda: nn.Conv3d(1, 2, (2, 3, 3), padding=(0, 1, 1))
    ),
    "conv_1d_over_rows": odd(
        lambda x, conv: conv(x.permute(0, 2, 1, 3).flatten(0, 1)).unflatten(0, (-1, x.shape[2])).permute(0, 2, 1, 3),
        conv=conv1d(padding=1),
    ),
    "conv_1d_over_columns_strided": odd(
        lambda x, conv: conv(x.permute(0, 3, 1, 2).flatten(0, 1)).unflatten(0, (-1, x.shape[3])).permute(0, 2, 3, 1),
        conv=conv1d(stride=2),
    ),
    "conv_1d_over_channels": odd(
        lambda x, conv: conv(x.permute(0, 2, 3, 1).reshape(-1, 1, 4)).view(-1, *x.shape[2:], 4).permute(0, 3, 1, 2),
        conv=conv1d(1, 1, padding=1),
    ),
    "conv_1d_of_pooled_channels": odd(
        lambda x, conv: x * conv(x.mean((2, 3))[:, None]).sigmoid()[:, 0, :, None, None],
        conv=conv1d(1, 1, padding=1),
        margin=0,
    ),
    "conv_cross": odd(
        lambda x, a, b: a(x) + b(x), a=conv(kernel=(1, 5), padding=(0, 2)), b=conv(kernel=(3, 1), padding=(1, 0))
    ),
    "conv_dilations_summed": odd(
        lambda x, a, b, c: a(x) * b(x) + c(x),
        a=conv(padding=1),
        b=conv(padding=2, dilation=2),
        c=conv(padding=3, dilation=3),
    ),
    "conv_causal": treated_as(
        odd(lambda x, conv: F.conv2d(x, conv.weight * _pixel_cnn(x), conv.bias, padding=1), conv=conv(padding=1)),
        lambda x, conv: conv(x),
        "weights are assumed to be non-zero",
        conv=conv(padding=1),
    ),
    "involution": odd(
        lambda x, net: torch.einsum("nkhw,nckhw->nchw", net(x), F.unfold(x, 3, padding=1).view(-1, 4, 9, *x.shape[2:])),
        net=conv(4, 9, 1),
    ),
    "coordinates_concatenated": odd(
        lambda x, conv: conv(torch.cat([x, _coordinates(x)], 1)), conv=conv(6, 4, padding=1)
    ),
    "octave": odd(
        lambda x, high, low: high(x[:, :2]) + F.interpolate(low(F.avg_pool2d(x[:, 2:], 2)), scale_factor=2),
        high=conv(2, 3, padding=1),
        low=conv(2, 3, padding=1),
    ),
    "bilinear_with_neighbor": odd(
        lambda x, net: net(x[..., 1:].movedim(1, -1), x[..., :-1].movedim(1, -1)).movedim(-1, 1),
        net=lambda: nn.Bilinear(4, 4, 3),
    ),
    "locally_connected": odd(
        lambda x: torch.einsum(
            "nkl,kl->nl", F.unfold(x, 3), _noise(36, (x.shape[2] - 2) * (x.shape[3] - 2)).to(x)
        ).view(-1, 1, x.shape[2] - 2, x.shape[3] - 2)
    ),
    "conv_by_matrix_of_windows": odd(
        lambda x, w: (w() @ F.unfold(x, (3, 2), stride=(2, 1))).view(x.shape[0], 3, (x.shape[2] - 1) // 2, -1),
        w=weight(3, 24),
    ),
    "conv_by_shifted_products": odd(
        lambda x, w: sum(
            torch.einsum(
                "oc,nchw->nohw", w()[i, j], F.pad(x, (2, 0, 2, 0))[..., i : i + x.shape[2], j : j + x.shape[3]]
            )
            for i in range(3)
            for j in range(3)
        ),
        w=weight(3, 3, 2, 4),
    ),
    "conv_by_tensor_unfold": odd(
        lambda x, w: torch.einsum("nchwij,ocij->nohw", x.unfold(2, 3, 2).unfold(3, 2, 1), w()), w=weight(3, 4, 3, 2)
    ),
    "conv_by_strided_view": odd(
        lambda x, w: torch.einsum(
            "nchwi,oci->nohw",
            x.contiguous().as_strided((*x.shape[:3], x.shape[3] - 2, 3), (*x.contiguous().stride(), 1)),
            w(),
        ),
        w=weight(3, 4, 3),
    ),
    "conv_by_fft": odd(
        lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * torch.fft.rfft2(_noise(4, 10, 12).to(x)), s=x.shape[2:]),
        margin=0,
    ),
    "conv_1d": module(lambda: nn.Conv1d(4, 4, 3, 2, 2, dilation=2, padding_mode="reflect"), size=(2, 20)),
    "conv_1d_transposed": module(lambda: nn.ConvTranspose1d(4, 4, 4, 3, 1, output_padding=2), size=(2, 13), margin=12),
    "conv_1d_causal_gated": odd(
        lambda x, f, g: f(F.pad(x, (4, 0))).tanh() * g(F.pad(x, (4, 0))).sigmoid() + x,
        f=conv1d(dilation=2),
        g=conv1d(dilation=2),
        size=(2, 20),
    ),
    "conv_3d": module(lambda: nn.Conv3d(4, 3, (1, 2, 3), (1, 2, 1), (0, 1, 1)), size=(1, 2, 2, 4), margin=4),
    "conv_3d_factorized": odd(
        lambda x, a, b: b(a(x)),
        a=lambda: nn.Conv3d(4, 3, (1, 3, 3), padding=(0, 1, 1)),
        b=lambda: nn.Conv3d(3, 3, (3, 1, 1), padding=(1, 0, 0), groups=3),
        size=(1, 2, 3, 3),
        margin=3,
    ),
    "conv_3d_transposed": module(
        lambda: nn.ConvTranspose3d(4, 3, 2, (1, 2, 2), bias=False), size=(1, 2, 2, 3), margin=3
    ),
}
