"""Padding and pooling."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.summary.odd_layers.layer import OddLayer, conv, conv1d, linear, module, odd, tent, treated_as


class FractionalPool(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.samples = nn.Buffer(torch.rand(1, 4, 2))

    def forward(self, x: Tensor) -> Tensor:
        samples = self.samples.to(x.dtype).expand(x.shape[0], -1, -1)
        return F.fractional_max_pool2d(x, 2, output_ratio=(0.6, 0.6), _random_samples=samples)


PADDING: dict[str, OddLayer] = {
    "pad_constant_uneven": odd(lambda x, conv: conv(F.pad(x, (2, -1, -2, 1))), conv=conv()),
    "pad_reflect_uneven": odd(lambda x, conv: conv(F.pad(x, (3, 1, 0, 2), mode="reflect")), conv=conv()),
    "pad_replicate_uneven": odd(lambda x: F.avg_pool2d(F.pad(x, (1, 2, 3, 0), mode="replicate"), 3, 1)),
    "pad_circular_uneven": odd(lambda x: F.avg_pool2d(F.pad(x, (2, 0, 1, 3), mode="circular"), 2)),
    "pad_with_a_value": odd(lambda x: F.max_pool2d(F.pad(x, (0, 0, 2, 0), value=-9.0), 3, 1)),
    "pad_channels": odd(lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)).flip(1)),
    "pad_by_concatenation": odd(lambda x: torch.cat([x[..., :1], x, x[..., -1:]], 3), margin=None),
    "pad_by_reflected_slices": odd(
        lambda x: torch.cat([x[:, :, 1:3].flip(2), x, x[:, :, -3:-1].flip(2)], 2), margin=None
    ),
    "pad_module_mirrored": odd(lambda x, pad: pad(x)[..., 1:-1, ::2], pad=lambda: nn.ReflectionPad2d((2, 2, 1, 1))),
    "pad_module_constant_1d": odd(
        lambda x, pad, conv: conv(pad(x)), pad=lambda: nn.ConstantPad1d((3, -1), 0.5), conv=conv1d(), size=(2, 20)
    ),
    "pad_replicate_3d": odd(
        lambda x: F.max_pool3d(F.pad(x, (1, 1, 0, 1, 1, 0), mode="replicate"), 2, 1), size=(1, 2, 3, 3), margin=3
    ),
    "crop_uneven": odd(lambda x: x[:, :, 1:-2, 3:]),
    "crop_negative_pad_then_conv": odd(lambda x, conv: conv(F.pad(x, (-1, -1, -2, 0))), conv=conv(padding=1)),
}


POOLING: dict[str, OddLayer] = {
    "pool_max_ceil": module(lambda: nn.MaxPool2d(3, 2, ceil_mode=True)),
    "pool_max_dilated": module(lambda: nn.MaxPool2d(3, 2, 1, dilation=2)),
    "pool_max_rectangular": module(lambda: nn.MaxPool2d((1, 3), (1, 2), (0, 1))),
    "pool_min": odd(lambda x: -F.max_pool2d(-x, 3, 1, 1)),
    "pool_morphological_gradient": odd(lambda x: F.max_pool2d(x, 3, 1, 1) + F.max_pool2d(-x, 5, 1, 2)),
    "pool_avg_not_counting_padding": module(lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)),
    "pool_avg_divisor": module(lambda: nn.AvgPool2d((2, 3), (2, 1), divisor_override=2)),
    "pool_lp": module(lambda: nn.LPPool2d(2, 3, stride=2)),
    "pool_lp_1d": module(lambda: nn.LPPool1d(2, 3, stride=1), size=(2, 20)),
    "pool_fractional": odd(
        lambda x, pool: pool(x),
        pool=lambda: FractionalPool(),
        margin=0,
    ),
    "pool_adaptive_avg": module(lambda: nn.AdaptiveAvgPool2d((5, 4)), margin=0),
    "pool_adaptive_max": module(lambda: nn.AdaptiveMaxPool2d((5, 3)), margin=0),
    "pool_adaptive_upwards": module(lambda: nn.AdaptiveAvgPool2d((17, 20)), margin=0),
    "pool_adaptive_1d": module(lambda: nn.AdaptiveMaxPool1d(7), size=(2, 17), margin=0),
    "pool_adaptive_3d": module(lambda: nn.AdaptiveAvgPool3d((3, 2, 4)), size=(1, 5, 5, 6), margin=0),
    "pool_strips": odd(lambda x: F.adaptive_avg_pool2d(x, (1, None)) + x, margin=0),
    "pool_unpooled": odd(
        lambda x, pool, unpool: unpool(*pool(x)),
        pool=lambda: nn.MaxPool2d(2, return_indices=True),
        unpool=lambda: nn.MaxUnpool2d(2),
    ),
    "pool_unpooled_1d": odd(
        lambda x, pool, unpool: unpool(*pool(x)),
        pool=lambda: nn.MaxPool1d(2, return_indices=True),
        unpool=lambda: nn.MaxUnpool1d(2),
        size=(2, 20),
    ),
    "pool_indices_as_features": odd(
        lambda x, pool: (lambda y, i: y + (i % 3).to(x))(*pool(x)),
        pool=lambda: nn.MaxPool2d(3, 1, return_indices=True),
    ),
    "pool_soft": odd(lambda x: F.avg_pool2d(x * x.exp(), 3, 2) / F.avg_pool2d(x.exp(), 3, 2)),
    "pool_generalized_mean": odd(lambda x: F.avg_pool2d(x.abs().clamp(min=1e-6) ** 3, 3, 2, 1) ** (1 / 3)),
    "pool_blurred": odd(lambda x: F.conv2d(F.pad(x, (1, 2, 1, 2), mode="reflect"), tent(x, 4), None, 2, groups=4)),
    "pool_median": odd(
        lambda x: F.unfold(x, 3).view(-1, 4, 9, x.shape[2] - 2, x.shape[3] - 2).median(2).values,
    ),
    "pool_by_reshaping": odd(lambda x: x.reshape(x.shape[0], 4, x.shape[2] // 2, 2, -1, 2).amax((3, 5))),
    "pool_over_channel_pairs": odd(lambda x: x.unflatten(1, (2, 2)).amax(2)),
    "pool_max_over_channels": odd(lambda x: torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)),
    "pool_1d_over_flattened": odd(lambda x: F.avg_pool1d(x.flatten(2), 6).view(*x.shape[:3], 2), margin=0),
    "pool_pyramid": odd(
        lambda x, net: net(torch.cat([F.adaptive_avg_pool2d(x, k).flatten(1) for k in (1, 2, 3)], 1)),
        net=linear(56, 3),
        margin=0,
    ),
    "pool_3d_over_channels": odd(lambda x: F.max_pool3d(x[:, None], (2, 1, 3), (2, 1, 1))[:, 0]),
    "pool_max_3d_uneven": module(lambda: nn.MaxPool3d((1, 2, 2), ceil_mode=True), size=(1, 2, 2, 4), margin=4),
    "pool_box_filter_of_sums": treated_as(
        odd(lambda x: (lambda s: s[..., 3:] - s[..., :-3])(x.cumsum(3)), margin=0),
        lambda x: (lambda s: s[..., 3:] + s[..., :-3])(x.cumsum(3)),
        "terms that cancel count",
    ),
    "pool_logsumexp": odd(lambda x: x.unfold(3, 3, 1).logsumexp(-1)),
    "pool_std_of_windows": odd(lambda x: x.unfold(2, 2, 2).unfold(3, 3, 1).std((-2, -1))),
    "pool_second_order": odd(lambda x: torch.einsum("nchw,ndhw->ncd", x, x).flatten(1), margin=0),
}
