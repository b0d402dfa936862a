"""Normalization, sorting and quantization."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.summary.odd_layers.layer import OddLayer, conv, linear, module, odd, treated_as, weight


def mixed(x: Tensor) -> Tensor:
    """Mix the channels at every position."""
    return x.sum(1, keepdim=True) * torch.ones(1, 4, *[1] * (x.ndim - 2), dtype=x.dtype)


NORMS: dict[str, OddLayer] = {
    "norm_layer_channels_last": odd(
        lambda x, net: net(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), net=lambda: nn.LayerNorm(4)
    ),
    "norm_layer_whole_image": treated_as(
        odd(lambda x, net: net(x), net=lambda: nn.LayerNorm([4, 10, 12]), margin=0),
        mixed,
        "a norm over positions counts as elementwise",
    ),
    "norm_layer_rows": treated_as(
        odd(lambda x, net: net(x), net=lambda: nn.LayerNorm(12), margin=0),
        lambda x: x * 2,
        "a norm over positions counts as elementwise",
    ),
    "norm_group": treated_as(
        module(lambda: nn.GroupNorm(2, 4)), lambda x: x * 2, "a norm over positions counts as elementwise"
    ),
    "norm_group_of_one": treated_as(
        module(lambda: nn.GroupNorm(1, 4)), mixed, "a norm over positions counts as elementwise"
    ),
    "norm_instance": treated_as(
        module(lambda: nn.InstanceNorm2d(4, affine=True)),
        lambda x: x * 2,
        "a norm over positions counts as elementwise",
    ),
    "norm_instance_running": module(lambda: nn.InstanceNorm2d(4, track_running_stats=True)),
    "norm_batch": module(lambda: nn.BatchNorm2d(4)),
    "norm_batch_3d": odd(lambda x, net: net(x[:, :, None])[:, :, 0], net=lambda: nn.BatchNorm3d(4)),
    "norm_batch_1d": odd(lambda x, net: net(x.flatten(2)).view(x.shape), net=lambda: nn.BatchNorm1d(4)),
    "norm_root_mean_square": odd(lambda x, net: net(x.movedim(1, -1)).movedim(-1, 1), net=lambda: nn.RMSNorm(4)),
    "norm_root_mean_square_by_hand": odd(lambda x: x * (x.square().mean(1, keepdim=True) + 1e-6).rsqrt()),
    "norm_local_response": module(lambda: nn.LocalResponseNorm(3)),
    "norm_local_response_over_space": odd(lambda x: x / (1 + F.avg_pool2d(x.square(), 3, 1, 1)).sqrt()),
    "norm_local_contrast": odd(
        lambda x: (lambda m: (x - m) / (F.avg_pool2d((x - m) ** 2, 3, 1, 1) + 1).sqrt())(F.avg_pool2d(x, 3, 1, 1))
    ),
    "norm_divided_by_length": odd(lambda x: F.normalize(x, dim=1)),
    "norm_divided_by_length_over_space": odd(lambda x: F.normalize(x.flatten(2), dim=2).view(x.shape), margin=0),
    "norm_cosine_with_neighbor": odd(lambda x: F.cosine_similarity(x[..., 1:], x[..., :-1], dim=1)[:, None]),
    "norm_minimum_and_maximum": odd(
        lambda x: (
            (x - x.amin((2, 3), keepdim=True)) / (x.amax((2, 3), keepdim=True) - x.amin((2, 3), keepdim=True) + 1)
        ),
        margin=0,
    ),
    "norm_by_hand_over_space": odd(
        lambda x: (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True) + 1e-5).sqrt(), margin=0
    ),
    "norm_centered_rows": odd(lambda x: x - x.mean(3, keepdim=True), margin=0),
    "norm_adaptive_instance": odd(lambda x, net: x * net(x.mean((2, 3)))[:, :, None, None] + 1, net=linear(), margin=0),
    "norm_spade": odd(
        lambda x, net: (
            x
            * net(
                F.interpolate(x.mean(1, keepdim=True), scale_factor=0.5).repeat_interleave(2, 2).repeat_interleave(2, 3)
            )
        ),
        net=conv(1, 4, padding=1),
    ),
    "norm_filter_response": odd(
        lambda x: torch.maximum(
            x / (x.square().mean((2, 3), keepdim=True) + 1e-6).sqrt(), torch.tensor(-0.1, dtype=x.dtype)
        ),
        margin=0,
    ),
    "norm_weight_of_a_convolution": module(
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
    ),
    "norm_spectral": module(lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3, padding=1))),
    "softmax_over_channels": odd(lambda x: F.softmax(x, 1)),
    "softmax_over_space": odd(lambda x: x.flatten(2).softmax(2).view(x.shape), margin=0),
    "softmax_over_columns": odd(lambda x: x.log_softmax(3), margin=0),
    "softmax_argument": odd(
        lambda x: (x.flatten(2).softmax(2).view(x.shape) * torch.arange(12.0).to(x)).sum((2, 3)), margin=0
    ),
    "sorted_over_space": odd(lambda x: x.flatten(2).sort(2).values.view(x.shape), margin=0),
    "sorted_rows": odd(lambda x: x.sort(3, descending=True).values, margin=0),
    "topk_over_space": odd(lambda x: x.flatten(2).topk(5, 2).values.mean(2), margin=0),
    "argmax_over_channels_looked_up": odd(lambda x, table: table()[x.argmax(1)].movedim(-1, 1), table=weight(4, 3)),
    "argmax_over_channels_embedded": odd(
        lambda x, table: table(x.argmax(1)).movedim(-1, 1), table=lambda: nn.Embedding(4, 3)
    ),
    "codebook": odd(
        lambda x, table: table.weight[
            (x.movedim(1, -1)[..., None, :] - table.weight).square().sum(-1).argmin(-1)
        ].movedim(-1, 1),
        table=lambda: nn.Embedding(8, 4),
    ),
    "codebook_straight_through": odd(
        lambda x, table: (lambda q: x + (q - x).detach())(
            F.embedding(torch.cdist(x.flatten(2).mT, table()[None]).argmin(-1), table()).mT.view(x.shape)
        ),
        table=weight(8, 4),
    ),
    "quantized": odd(lambda x: (x * 4).round() / 4 + (x / 8).floor()),
    "quantized_straight_through": odd(lambda x: x + (x.round() - x).detach()),
    "quantized_by_buckets": odd(lambda x: torch.bucketize(x, torch.linspace(-2, 2, 9, dtype=x.dtype)).to(x)),
    "quantized_fake": odd(lambda x: torch.fake_quantize_per_tensor_affine(x.float(), 0.1, 0, -128, 127).to(x.dtype)),
    "census": odd(
        lambda x: torch.stack([(x[..., 1:-1] > y).to(x) for y in (x[..., :-2], x[..., 2:])], 2).flatten(1, 2)
    ),
    "one_hot_of_comparison": odd(
        lambda x: F.one_hot((x[:, 0] > 0).long() + (x[:, 2] > 0).long(), 3).permute(0, 3, 1, 2).to(x)
    ),
}
