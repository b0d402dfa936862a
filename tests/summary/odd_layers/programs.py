"""Frequencies, matching, and unusual ways to write a forward pass."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tests.summary.odd_layers.layer import (
    OddLayer,
    by_windows,
    conv,
    conv1d,
    linear,
    odd,
    treated_as,
    weight,
)


def _without_gradient(x: Tensor, net: nn.Module) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = net(x) * 2
    return outputs


def _iterated(x: Tensor, step: Callable[[Tensor], Tensor], times: int) -> Tensor:
    y = x
    for _ in range(times):
        y = torch.tanh(step(y)) + y
    return y


FREQUENCIES: dict[str, OddLayer] = {
    "fft_both_ways": treated_as(
        odd(lambda x: torch.fft.ifft2(torch.fft.fft2(x)).real, margin=0),
        lambda x: x + x.mean((2, 3), keepdim=True),
        "terms that cancel count",
    ),
    "fft_filter": odd(
        lambda x, w: torch.fft.irfft2(torch.fft.rfft2(x) * w(), s=(10, 12)), w=weight(4, 10, 7), margin=0
    ),
    "fft_filter_complex": odd(
        lambda x, w: torch.fft.ifft2(torch.fft.fft2(x) * torch.view_as_complex(w())).real,
        w=weight(4, 10, 12, 2),
        margin=0,
    ),
    "fft_along_width": odd(lambda x: torch.fft.rfft(x, dim=3).abs(), margin=0),
    "fft_over_channels": odd(lambda x: torch.fft.fft(x, dim=1).real),
    "fft_shifted": odd(lambda x: torch.fft.fftshift(x, dim=(2, 3)), margin=None),
    "fft_power_spectrum": odd(lambda x: torch.fft.rfft2(x).abs().log1p(), margin=0),
    "fourier_features": odd(lambda x, net: torch.cat([net(x).sin(), net(x).cos()], 1), net=conv(4, 3, 1)),
    "cosine_transform_of_blocks": odd(
        lambda x, w: torch.einsum(
            "nchiwj,ui,vj->ncuvhw", x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)), w(), w()
        ).flatten(1, 3),
        w=weight(2, 2),
    ),
    "cosine_transform_by_convolution": odd(
        lambda x, w: F.conv2d(x, w().repeat(4, 1, 1, 1), stride=4, groups=4), w=weight(3, 1, 4, 4), margin=8
    ),
    "complex_product": odd(
        lambda x: (lambda z: torch.cat([z.real, z.imag], 1))(torch.complex(x[:, :2], x[:, 2:]) ** 2)
    ),
    "complex_polar": odd(
        lambda x: (lambda z: torch.cat([z.abs(), z.angle()], 1))(torch.complex(x[:, ::2], x[:, 1::2]))
    ),
    "complex_convolution": odd(
        lambda x, w: (
            torch.view_as_real(F.conv2d(torch.complex(x[:, :2], x[:, 2:]), torch.complex(w()[0], w()[1]), padding=1))
            .movedim(-1, 2)
            .flatten(1, 2)
        ),
        w=weight(2, 3, 2, 3, 3),
    ),
    "wavelets_by_convolution": odd(
        lambda x: F.conv2d(
            x, torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=x.dtype).expand(4, 1, 2, 2), stride=2, groups=4
        )
    ),
}


MATCHING: dict[str, OddLayer] = {
    "correlation": odd(
        lambda x: torch.cat(
            [(x * F.pad(x, (2, 2))[..., i : i + x.shape[3]]).mean(1, keepdim=True) for i in range(5)], 1
        )
    ),
    "correlation_by_rolls": odd(lambda x: torch.stack([(x * x.roll(i, 3)).sum(1) for i in (-1, 0, 2)], 1)),
    "cost_volume": odd(
        lambda x, net: net(torch.stack([F.pad(x, (i, -i)) - x for i in range(3)], 2)).mean(2),
        net=lambda: nn.Conv3d(4, 3, (3, 1, 1), padding=(1, 0, 0)),
    ),
    "cost_volume_of_windows": odd(
        lambda x: torch.einsum("nchw,nckhw->nkhw", x, F.unfold(x, 3, padding=1).view(-1, 4, 9, *x.shape[2:]))
    ),
    "distances_in_windows": odd(
        lambda x: by_windows(x, lambda w: torch.cdist(w, w).softmax(-1) @ w), size=(2, 8, 12), margin=0
    ),
    "distances_of_all_rows": treated_as(
        odd(lambda x: torch.cdist(x, x), margin=0), lambda x: torch.cdist(x, 2 * x), "terms that cancel count"
    ),
    "distances_to_prototypes": odd(
        lambda x, w: torch.cdist(x.flatten(2).mT, w().expand(x.shape[0], -1, -1)).mT.reshape(-1, 3, *x.shape[2:]),
        w=weight(1, 3, 4),
    ),
    "bilateral_filter": odd(
        lambda x: (
            lambda k: (k * (-((k - x[:, :, None]) ** 2)).exp()).sum(2) / (-((k - x[:, :, None]) ** 2)).exp().sum(2)
        )(F.unfold(x, 3, padding=1).view(-1, 4, 9, *x.shape[2:]))
    ),
    "sobel": odd(
        lambda x: F.conv2d(
            x,
            torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=x.dtype).expand(4, 1, 3, 3),
            padding=1,
            groups=4,
        )
    ),
    "median_by_stack": odd(lambda x: torch.stack([x[..., i : i + x.shape[3] - 2] for i in range(3)]).median(0).values),
    "graph_of_nearest": treated_as(
        odd(
            lambda x: (
                lambda t: t.gather(1, torch.cdist(t, t).topk(3, 2, largest=False).indices[..., 1:2].expand(-1, -1, 4))
            )(x.flatten(2).mT).mT.view(x.shape),
            margin=0,
        ),
        lambda x: x + x.mean((1, 2, 3), keepdim=True),
        "indices that depend on the image may select any element",
    ),
}


PROGRAMS: dict[str, OddLayer] = {
    "vmap_over_images": odd(lambda x, net: torch.vmap(lambda image: net(image[None])[0])(x), net=conv(padding=1)),
    "vmap_over_channels": odd(lambda x: torch.vmap(lambda plane: plane * plane.roll(1, -1), in_dims=1, out_dims=1)(x)),
    "functional_call": odd(
        lambda x, net: torch.func.functional_call(net, {name: p * 2 for name, p in net.named_parameters()}, (x,)),
        net=conv(padding=1),
    ),
    "checkpoint": odd(lambda x, net: checkpoint(net, x, use_reentrant=False), net=conv(padding=1)),
    "without_gradient": odd(lambda x, net: _without_gradient(x, net), net=conv(padding=1)),
    "detached": odd(lambda x, net: x.detach() + net(x.data), net=conv(padding=1)),
    "gradient_of_an_energy": odd(lambda x, net: torch.func.grad(lambda y: net(y).tanh().sum())(x), net=conv(padding=1)),
    "forward_derivative": odd(lambda x, net: torch.func.jvp(net, (x,), (torch.ones_like(x),))[0], net=conv(padding=1)),
    "iterated_until_constant": odd(lambda x, net: _iterated(x, net, 3), net=conv(padding=1), margin=6),
    "implicit_steps": odd(
        lambda x, net: _iterated(x, lambda y: 0.5 * net(y) + x, 2), net=conv(kernel=(1, 3), padding=(0, 1))
    ),
    "chunked_over_batch": odd(lambda x, net: torch.cat([net(part) for part in x.split(1)]), net=conv(padding=1)),
    "chunked_over_rows": odd(
        lambda x, net: torch.cat([net(part) for part in x.split(5, 2)], 2), net=conv(padding=1), margin=None
    ),
    "moved_to_half_precision": odd(lambda x: x.bfloat16().to(x.dtype).relu() + x),
    "cast_and_back": odd(lambda x: x.double().add(1).type_as(x)),
    "dictionary_of_branches": odd(
        lambda x, a, b: sum({"a": a(x), "b": b(x)}.values()), a=conv(padding=1), b=conv(kernel=(1, 5), padding=(0, 2))
    ),
    "shared_twice": odd(lambda x, net: net(net(x)), net=conv(padding=1)),
    "sequence_of_activations": odd(
        lambda x: F.hardswish(F.mish(F.prelu(F.celu(F.gelu(x) + F.softsign(x)), torch.tensor([0.3], dtype=x.dtype))))
    ),
    "clamped_by_neighbor": odd(lambda x: torch.minimum(x[..., 1:], x[..., :-1]).clamp(max=3.0)),
    "clamped_by_tensor": odd(lambda x: torch.clamp(x[..., 1:-1], min=x[..., :-2] - 5, max=x[..., 2:] + 5)),
    "interpolated_with_neighbor": odd(lambda x: torch.lerp(x[:, :, 1:], x[:, :, :-1], 0.3)),
    "broadcast_of_a_plane": odd(lambda x: x[:, :1] + x[:, 1:2, :1] * 1.0, margin=None),
    "broadcast_of_rows_and_columns": odd(lambda x: x[:, :, :, :1] @ x[:, :, :1, :], margin=None),
    "expanded_corner": odd(lambda x: x[..., :1, :1].expand(-1, -1, 3, 3), margin=0),
    "stochastic_depth": odd(lambda x, drop: drop(x) + x, drop=lambda: nn.Dropout2d(0.5)),
    "terms_that_cancel": treated_as(
        odd(lambda x: x[..., 1:] + x[..., :-1] - x[..., :-1]),
        lambda x: x[..., 1:] + x[..., :-1],
        "terms that cancel count",
    ),
    "times_zero": treated_as(
        odd(lambda x: x + 0.0 * x.flip(1)), lambda x: x + x.flip(1), "weights are assumed to be non-zero"
    ),
    "cross_product": odd(lambda x: torch.linalg.cross(x[:, :3, :, 1:], x[:, 1:, :, :-1], dim=1)),
    "determinant_of_channels": odd(lambda x: torch.linalg.det(x.movedim(1, -1).unflatten(3, (2, 2)))[:, None]),
    "inverse_of_channels": odd(
        lambda x: (
            torch.linalg.inv(x.movedim(1, -1).unflatten(3, (2, 2)) + 3 * torch.eye(2, dtype=x.dtype))
            .flatten(3)
            .movedim(-1, 1)
        )
    ),
    "inverse_of_the_image": odd(lambda x: torch.linalg.solve(x @ x.mT + torch.eye(10, dtype=x.dtype), x), margin=0),
    "polynomial": odd(lambda x: torch.stack([x**k for k in range(1, 4)], 1).flatten(1, 2)),
    "histogram": odd(
        lambda x: (
            torch.sigmoid(x[:, :, None] - torch.linspace(-1, 1, 3, dtype=x.dtype).view(3, 1, 1)).mean((3, 4)).flatten(1)
        ),
        margin=0,
    ),
    "list_of_crops": odd(
        lambda x: torch.cat([x[..., i : i + 4, j : j + 4] for i in (0, 6) for j in (0, 8)], 1), margin=0
    ),
    "five_crops_in_batch": odd(
        lambda x, net: (
            net(torch.stack([x[..., :4, :4], x[..., -4:, -4:]], 1).flatten(0, 1)).unflatten(0, (-1, 2)).flatten(1, 2)
        ),
        net=conv(padding=1),
        margin=None,
    ),
    "tiled_image": odd(lambda x: x.tile(1, 1, 2, 1), margin=None),
    "meshgrid_of_features": odd(lambda x: x.mean(3)[:, :, :, None] * x.mean(2)[:, :, None], margin=0),
    "half_of_the_image": odd(
        lambda x, net: torch.cat([net(x[..., :6]), x[..., 6:]], 3), net=conv(padding=1), margin=None
    ),
    "two_dimensional_to_one": odd(lambda x, net: net(x.mean(2)), net=conv1d(padding=1), margin=None),
    "one_dimensional_to_two": odd(lambda x: x.unflatten(2, (4, 6)), size=(2, 24), margin=None),
    "frames_from_columns": odd(
        lambda x, net: net(x.unflatten(3, (3, 4)).permute(0, 1, 3, 2, 4)).permute(0, 1, 3, 2, 4).flatten(3),
        net=lambda: nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0)),
        margin=None,
    ),
    "batch_dimension_dropped": odd(lambda x, net: torch.stack([net(image) for image in x]), net=conv(padding=1)),
    "linear_head": odd(lambda x, net: net(x.flatten(1)), net=linear(480, 5), margin=0),
}
