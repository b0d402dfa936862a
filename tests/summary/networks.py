"""Networks for receptive-field tests: those with published values, and small ones of every kind."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

Builder: TypeAlias = Callable[[], nn.Module]
Kernel: TypeAlias = int | tuple[int, int]


class Wired(nn.Module):
    """Modules, and a function for the forward pass: it takes the input, and the modules by name."""

    def __init__(self, wire: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.wire = wire
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, inputs: Tensor) -> Any:
        return self.wire(inputs, **self._modules)


class Branches(nn.Module):
    """Parallel branches, concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([branch(inputs) for branch in self.branches], dim=1)


class Residual(nn.Module):
    """A body and a shortcut, added."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.relu = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.relu(self.body(inputs) + self.shortcut(inputs))
        return outputs


def conv_norm(in_width: int, width: int, kernel: Kernel, stride: int = 1, *, is_padded: bool = True) -> nn.Sequential:
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (sides[0] // 2, sides[1] // 2) if is_padded else 0
    return nn.Sequential(nn.Conv2d(in_width, width, kernel, stride, padding, bias=False), nn.BatchNorm2d(width))


def conv_norm_relu(
    in_width: int, width: int, kernel: Kernel = 3, stride: int = 1, *, is_padded: bool = True
) -> nn.Sequential:
    return nn.Sequential(*conv_norm(in_width, width, kernel, stride, is_padded=is_padded), nn.ReLU())


# Published networks, up to the last feature map. Padding is symmetric where TF-Slim's is not, which changes no size.


def vgg16(width: int = 4) -> nn.Module:
    layers: list[nn.Module] = []
    before = 3
    for depth, after in zip((2, 2, 3, 3, 3), (width, 2 * width, 4 * width, 8 * width, 8 * width), strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            before = after
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def alexnet_v2(width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 11, stride=4),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(width, 3 * width, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(3 * width, 6 * width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6 * width, 6 * width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6 * width, 4 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )


def mobilenet_v1(width: int = 4) -> nn.Module:
    layers = [conv_norm_relu(3, width, 3, 2)]
    before = width
    for stride, factor in zip(
        (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), (2, 4, 4, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32), strict=True
    ):
        depthwise = nn.Conv2d(before, before, 3, stride, padding=1, groups=before, bias=False)
        layers.append(nn.Sequential(depthwise, nn.BatchNorm2d(before), nn.ReLU()))
        layers.append(conv_norm_relu(before, factor * width, 1))
        before = factor * width
    return nn.Sequential(*layers)


def residual_stem(width: int) -> nn.Module:
    return nn.Sequential(conv_norm_relu(3, width, 7, 2), nn.MaxPool2d(3, stride=2, padding=1))


def basic_unit(in_width: int, width: int, stride: int) -> Residual:
    body = nn.Sequential(conv_norm_relu(in_width, width, 3, stride), conv_norm(width, width, 3))
    is_same = stride == 1 and in_width == width
    return Residual(body, None if is_same else conv_norm(in_width, width, 1, stride))


def bottleneck_body(in_width: int, width: int, stride: int) -> nn.Module:
    return nn.Sequential(
        conv_norm_relu(in_width, width, 1),
        conv_norm_relu(width, width, 3, stride),
        conv_norm(width, 4 * width, 1),
    )


def bottleneck_unit(in_width: int, width: int, stride: int) -> Residual:
    is_same = stride == 1 and in_width == 4 * width
    shortcut = None if is_same else conv_norm(in_width, 4 * width, 1, stride)
    return Residual(bottleneck_body(in_width, width, stride), shortcut)


def slim_unit(in_width: int, width: int, stride: int) -> Residual:
    shortcut: nn.Module = conv_norm(in_width, 4 * width, 1, stride)
    if in_width == 4 * width:
        shortcut = nn.MaxPool2d(1, stride)
    return Residual(bottleneck_body(in_width, width, stride), shortcut)


def imagenet_resnet(
    unit: Callable[[int, int, int], Residual], expansion: int, depths: tuple[int, int, int, int], width: int = 2
) -> nn.Module:
    """The stride of a stage is in its first unit, on the 3x3 convolution."""
    layers = [residual_stem(width)]
    before = width
    for stage, depth in enumerate(depths):
        for number in range(depth):
            layers.append(unit(before, width * 2**stage, 2 if stage > 0 and number == 0 else 1))
            before = expansion * width * 2**stage
    return nn.Sequential(*layers)


def slim_resnet_v1(depths: tuple[int, int, int, int], width: int = 2) -> nn.Module:
    """The stride of a block is in its last unit, and the last block has none."""
    layers = [residual_stem(width)]
    before = width
    for block, depth in enumerate(depths):
        for number in range(depth):
            layers.append(slim_unit(before, width * 2**block, 2 if block < 3 and number == depth - 1 else 1))
            before = 4 * width * 2**block
    return nn.Sequential(*layers)


def inception_branch(in_width: int, width: int, *kernels: Kernel, has_stride: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, kernel in enumerate(kernels):
        is_reduction = has_stride and number == len(kernels) - 1
        layers.append(
            conv_norm_relu(width if layers else in_width, width, kernel, 1 + is_reduction, is_padded=not is_reduction)
        )
    return nn.Sequential(*layers)


def averaged_branch(in_width: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), conv_norm_relu(in_width, width, 1))


def mixed_5(in_width: int, width: int) -> nn.Module:
    return Branches(
        inception_branch(in_width, width, 1),
        inception_branch(in_width, width, 1, 5),
        inception_branch(in_width, width, 1, 3, 3),
        averaged_branch(in_width, width),
    )


def mixed_6(in_width: int, width: int) -> nn.Module:
    return Branches(
        inception_branch(in_width, width, 1),
        inception_branch(in_width, width, 1, (1, 7), (7, 1)),
        inception_branch(in_width, width, 1, (7, 1), (1, 7), (7, 1), (1, 7)),
        averaged_branch(in_width, width),
    )


def mixed_7(in_width: int, width: int) -> nn.Module:
    def fork() -> Branches:
        return Branches(inception_branch(width, width, (1, 3)), inception_branch(width, width, (3, 1)))

    return Branches(
        inception_branch(in_width, width, 1),
        nn.Sequential(inception_branch(in_width, width, 1), fork()),
        nn.Sequential(inception_branch(in_width, width, 1, 3), fork()),
        averaged_branch(in_width, width),
    )


def inception_v3(width: int = 4) -> nn.Module:
    w = width
    return nn.Sequential(
        conv_norm_relu(3, w, 3, 2, is_padded=False),
        conv_norm_relu(w, w, 3, is_padded=False),
        conv_norm_relu(w, w, 3),
        nn.MaxPool2d(3, stride=2),
        conv_norm_relu(w, w, 1),
        conv_norm_relu(w, w, 3, is_padded=False),
        nn.MaxPool2d(3, stride=2),
        mixed_5(w, w),
        mixed_5(4 * w, w),
        mixed_5(4 * w, w),
        Branches(
            inception_branch(4 * w, w, 3, has_stride=True),
            inception_branch(4 * w, w, 1, 3, 3, has_stride=True),
            nn.MaxPool2d(3, stride=2),
        ),
        mixed_6(6 * w, w),
        mixed_6(4 * w, w),
        mixed_6(4 * w, w),
        mixed_6(4 * w, w),
        Branches(
            inception_branch(4 * w, w, 1, 3, has_stride=True),
            inception_branch(4 * w, w, 1, (1, 7), (7, 1), 3, has_stride=True),
            nn.MaxPool2d(3, stride=2),
        ),
        mixed_7(6 * w, w),
        mixed_7(6 * w, w),
    )


PUBLISHED: dict[str, tuple[Builder, int, int]] = {
    "vgg16": (vgg16, 212, 32),
    "alexnet_v2": (alexnet_v2, 195, 32),
    "mobilenet_v1": (mobilenet_v1, 315, 32),
    "slim_resnet_v1_50": (partial(slim_resnet_v1, (3, 4, 6, 3)), 483, 32),
    "slim_resnet_v1_101": (partial(slim_resnet_v1, (3, 4, 23, 3)), 1027, 32),
    "slim_resnet_v1_152": (partial(slim_resnet_v1, (3, 8, 36, 3)), 1507, 32),
    "inception_v3": (inception_v3, 1311, 32),
    "resnet18": (partial(imagenet_resnet, basic_unit, 1, (2, 2, 2, 2)), 435, 32),
    "resnet34": (partial(imagenet_resnet, basic_unit, 1, (3, 4, 6, 3)), 899, 32),
    "resnet50": (partial(imagenet_resnet, bottleneck_unit, 4, (3, 4, 6, 3)), 427, 32),
    "resnet101": (partial(imagenet_resnet, bottleneck_unit, 4, (3, 4, 23, 3)), 971, 32),
}
"""Name -> (builder, receptive field, jump).

Source: Araujo et al., Distill 2019, doi 10.23915/distill.00021, and the table of google-research/receptive_field; for
the ResNets without `slim`, whose strides lie elsewhere, the same recursion.
"""


# Small networks.


def branched_stem() -> nn.Module:
    """Four channels with different receptive fields."""
    return Branches(*(nn.Conv2d(3, 1, kernel, padding=kernel // 2) for kernel in (1, 3, 5, 7)))


class Resize(nn.Module):
    """Interpolation by a factor of two, or to a given size."""

    def __init__(self, mode: str, *, align_corners: bool | None = None, to_size: bool = False) -> None:
        super().__init__()
        self.mode, self.align_corners, self.to_size = mode, align_corners, to_size

    def forward(self, inputs: Tensor, size: list[int]) -> Tensor:
        if self.to_size:
            return F.interpolate(inputs, size=size, mode=self.mode, align_corners=self.align_corners)
        return F.interpolate(inputs, scale_factor=2, mode=self.mode, align_corners=self.align_corners)


class UNet(nn.Module):
    """Two levels down and up; `enlarge` builds the up-sampling, which takes features and a size."""

    def __init__(self, enlarge: Builder) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.down1, self.down2, self.deepest = conv_norm_relu(3, 4), conv_norm_relu(4, 4), conv_norm_relu(4, 4)
        self.enlarge2, self.enlarge1 = enlarge(), enlarge()
        self.up2, self.up1 = conv_norm_relu(8, 4), conv_norm_relu(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        first = self.down1(images)
        second = self.down2(self.pool(first))
        deepest = self.deepest(self.pool(second))
        merged = self.up2(torch.cat([self.enlarge2(deepest, list(second.shape[2:])), second], dim=1))
        outputs: Tensor = self.up1(torch.cat([self.enlarge1(merged, list(first.shape[2:])), first], dim=1))
        return outputs


class UnpaddedUNet(nn.Module):
    """Convolutions without padding, and cropped skip connections."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.pool, self.deep = nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)
        self.enlarge, self.up = nn.ConvTranspose2d(4, 4, 2, stride=2), nn.Conv2d(8, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        skip = self.down(images)
        enlarged = self.enlarge(self.deep(self.pool(skip)))
        h, w = enlarged.shape[2:]
        outputs: Tensor = self.up(torch.cat([skip[:, :, 2 : 2 + h, 2 : 2 + w], enlarged], dim=1))
        return outputs


class DenseBlock(nn.Module):
    """Every layer takes the outputs of all layers before it."""

    def __init__(self, in_width: int, growth: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv_norm_relu(in_width + number * growth, growth) for number in range(depth))

    def forward(self, inputs: Tensor) -> Tensor:
        features = [inputs]
        for layer in self.layers:
            features.append(layer(torch.cat(features, dim=1)))
        return torch.cat(features, dim=1)


class ShuffleUnit(nn.Module):
    """Half of the channels pass a branch, the others skip it; then they are shuffled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        depthwise = nn.Conv2d(half, half, 3, padding=1, groups=half)
        self.branch = nn.Sequential(conv_norm_relu(half, half, 1), depthwise, conv_norm_relu(half, half, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        skipped, changed = inputs.chunk(2, dim=1)
        joined = torch.cat([skipped, self.branch(changed)], dim=1)
        n, c, h, w = joined.shape
        return joined.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class GroupedPointwise(nn.Module):
    """1x1 convolutions in groups around a depthwise one, with the channels of the groups shuffled between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Branches(nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(3, 2, 5, padding=2), nn.Conv2d(3, 2, 1))
        self.squeeze, self.depthwise = nn.Conv2d(6, 6, 1, groups=3), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.expand = nn.Conv2d(6, 9, 1, groups=3)

    def forward(self, images: Tensor) -> Tensor:
        features = F.channel_shuffle(self.squeeze(self.stem(images)), 3)
        outputs: Tensor = self.expand(self.depthwise(features))
        return outputs


class SqueezeExcitation(nn.Module):
    """Every channel is scaled by a gate that is computed from all positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(width, 2), nn.Linear(2, width)

    def forward(self, inputs: Tensor) -> Tensor:
        gates = torch.sigmoid(self.excite(F.relu(self.squeeze(inputs.mean(dim=(2, 3))))))
        return inputs * gates[:, :, None, None]


class SpatialGate(nn.Module):
    """Every position is scaled by a gate that is computed from all channels around it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, inputs: Tensor) -> Tensor:
        described = torch.cat([inputs.mean(dim=1, keepdim=True), inputs.amax(dim=1, keepdim=True)], dim=1)
        return inputs * torch.sigmoid(self.gate(described))


class StripGate(nn.Module):
    """Every row and every column is scaled by a gate of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rows = nn.Conv2d(width, width, (3, 1), padding=(1, 0))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * torch.sigmoid(self.rows(inputs.mean(dim=3, keepdim=True)))


class AtrousPyramid(nn.Module):
    """Dilated convolutions side by side, and the mean over the image."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(nn.Conv2d(in_width, width, 3, padding=d, dilation=d) for d in (1, 2, 4))
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_width, width, 1), nn.ReLU())
        self.merge = nn.Conv2d(4 * width, width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        pooled = F.interpolate(self.pooled(inputs), size=inputs.shape[2:], mode="bilinear", align_corners=False)
        outputs: Tensor = self.merge(torch.cat([*(layer(inputs) for layer in self.dilated), pooled], dim=1))
        return outputs


class NonLocal(nn.Module):
    """Every position attends to all positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(width, 2, 1) for _ in range(3))
        self.project = nn.Conv2d(2, width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        query, key, value = (layer(inputs).flatten(2) for layer in (self.query, self.key, self.value))
        weights = F.softmax(query.transpose(1, 2) @ key, dim=-1)
        attended = (weights @ value.transpose(1, 2)).transpose(1, 2)
        outputs: Tensor = inputs + self.project(attended.unflatten(2, inputs.shape[2:]))
        return outputs


class AxialAttention(nn.Module):
    """Every position attends to all positions in its row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(width, out, 1) for out in (2, 2, width))

    def forward(self, inputs: Tensor) -> Tensor:
        scores = torch.einsum("nchw,nchv->nhwv", self.query(inputs), self.key(inputs))
        return torch.einsum("nhwv,nchv->nchw", F.softmax(scores, dim=-1), self.value(inputs))


class TokenAttention(nn.Module):
    """Multi-head attention over the positions of a strided convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        features = self.embed(images)
        tokens = features.flatten(2).transpose(1, 2)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        outputs: Tensor = (tokens + attended).transpose(1, 2).unflatten(2, features.shape[2:])
        return outputs


class VisionTransformer(nn.Module):
    """Patches, a class token, position embedding, two encoder layers; for images of 20 x 28."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.positions = nn.Parameter(torch.zeros(1, 1 + 5 * 7, 8))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True) for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        logits: Tensor = self.head(self.norm(tokens[:, 0]))
        return logits


class SwinBlock(nn.Module):
    """Attention within windows of 4 x 4, moved by `shift`; a mask separates regions that the roll makes adjacent."""

    window = 4

    def __init__(self, width: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm, self.mix, self.project = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        n, _, h, w = inputs.shape
        features = inputs.permute(0, 2, 3, 1)
        rolled = torch.roll(self.norm(features), shifts=(-self.shift, -self.shift), dims=(1, 2))
        query, key, value = self.mix(self.partition(rolled)).chunk(3, dim=-1)
        scores = query @ key.transpose(1, 2) + self.mask(h, w).repeat(n, 1, 1)
        attended = self.merge(self.project(F.softmax(scores, dim=-1) @ value), n, h, w)
        features = features + torch.roll(attended, shifts=(self.shift, self.shift), dims=(1, 2))
        features = features + self.feed(features)
        outputs: Tensor = features.permute(0, 3, 1, 2)
        return outputs

    def partition(self, features: Tensor) -> Tensor:
        n, h, w, c = features.shape
        tiles = features.view(n, h // self.window, self.window, w // self.window, self.window, c)
        return tiles.permute(0, 1, 3, 2, 4, 5).reshape(-1, self.window**2, c)

    def merge(self, windows: Tensor, n: int, h: int, w: int) -> Tensor:
        tiles = windows.view(n, h // self.window, w // self.window, self.window, self.window, -1)
        return tiles.permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, -1)

    def mask(self, h: int, w: int) -> Tensor:
        regions = torch.zeros(1, h, w, 1)
        if self.shift:
            parts = slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None)
            for number, (rows, columns) in enumerate((rows, columns) for rows in parts for columns in parts):
                regions[:, rows, columns] = number
        tokens = self.partition(regions)
        is_apart = tokens != tokens.transpose(1, 2)
        return torch.zeros(is_apart.shape).masked_fill(is_apart, float("-inf"))


class ConvNeXtBlock(nn.Module):
    """A depthwise 7x7 convolution, then linear layers on channels that have been moved to the end."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.expand, self.project = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-2))

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.norm(self.depthwise(inputs).permute(0, 2, 3, 1))
        features = self.scale * self.project(F.gelu(self.expand(features)))
        outputs: Tensor = inputs + features.permute(0, 3, 1, 2)
        return outputs


class Mixer(nn.Module):
    """Linear layers over the positions of 4 x 4 patches, then over the channels; for images of 20 x 24."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 4, stride=4)
        self.norm1, self.mix_tokens = nn.LayerNorm(6), nn.Linear(30, 30)
        self.norm2, self.mix_channels = nn.LayerNorm(6), nn.Linear(6, 6)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        tokens = tokens + self.mix_tokens(self.norm1(tokens).transpose(1, 2)).transpose(1, 2)
        outputs: Tensor = tokens + self.mix_channels(self.norm2(tokens))
        return outputs


class FourierFilter(nn.Module):
    """A weight for every frequency; for images of 17 x 20."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width, 17, 11))

    def forward(self, inputs: Tensor) -> Tensor:
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(inputs) * self.weight, s=inputs.shape[2:])
        return filtered


class ParallelResolutions(nn.Module):
    """Two streams, one at half the size, that exchange features."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = conv_norm_relu(3, 4), conv_norm_relu(3, 4, 3, 2)
        self.down, self.up = conv_norm(4, 4, 3, 2), nn.Sequential(conv_norm(4, 4, 1), nn.Upsample(scale_factor=2))
        self.fine2, self.coarse2 = conv_norm_relu(4, 4), conv_norm_relu(4, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        fine, coarse = self.fine(images), self.coarse(images)
        return self.fine2(fine + self.up(coarse)), self.coarse2(coarse + self.down(fine))


class PyramidLevels(nn.Module):
    """Two levels with a shared head, returned as a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deeper = conv_norm_relu(3, 4), conv_norm_relu(4, 4, 3, 2)
        self.lateral, self.smooth = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        fine = self.stem(images)
        coarse = self.lateral(self.deeper(fine))
        merged = self.lateral(fine) + F.interpolate(coarse, size=fine.shape[2:], mode="nearest")
        return {"fine": self.smooth(merged), "coarse": self.smooth(coarse)}


class InPlace(nn.Module):
    """A residual block with in-place operations."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = conv_norm(3, 4, 3), conv_norm(4, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu_(self.stem(images))
        outputs: Tensor = self.body(features)
        outputs += features
        outputs[:, :2] *= 2
        return outputs.relu_()


class InterleavedRows(nn.Module):
    """Two convolutions whose rows alternate in one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.even, self.odd = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(3, 2, 5, padding=2)

    def forward(self, images: Tensor) -> Tensor:
        n, _, h, w = images.shape
        rows = torch.zeros(n, 2, 2 * h, w, dtype=images.dtype, device=images.device)
        rows[:, :, ::2] = self.even(images)
        rows[:, :, 1::2] = self.odd(images)
        return rows


class ShiftedChannels(nn.Module):
    """Channels shifted by one position in each direction, by writes to slices of an empty tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.before(images)
        shifted = torch.zeros_like(features)
        shifted[:, 0, :, 1:] = features[:, 0, :, :-1]
        shifted[:, 1, :, :-1] = features[:, 1, :, 1:]
        shifted[:, 2:] = features[:, 2:]
        outputs: Tensor = self.after(shifted)
        return outputs


class UnfoldedConvolution(nn.Module):
    """A strided 3x3 convolution by im2col."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 27))

    def forward(self, images: Tensor) -> Tensor:
        h, w = ((side - 1) // 2 + 1 for side in images.shape[2:])
        columns = F.unfold(images, 3, padding=1, stride=2)
        return (self.weight @ columns).view(len(images), 4, h, w)


class FoldedColumns(nn.Module):
    """Overlapping windows, changed one by one and summed at their positions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.change = nn.Conv2d(3, 2, 3, padding=1), nn.Linear(18, 18)

    def forward(self, images: Tensor) -> Tensor:
        columns = F.unfold(self.stem(images), 3, padding=1, stride=2)
        changed = self.change(columns.transpose(1, 2)).transpose(1, 2)
        return F.fold(changed, images.shape[2:], 3, padding=1, stride=2)


class ConstantMask(nn.Module):
    """The left half of the image is masked; for images of 18 x 22."""

    is_hidden: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.register_buffer("is_hidden", torch.arange(22).expand(18, 22) < 11)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.after(self.before(images).masked_fill(self.is_hidden, 0.0))
        return outputs


class Checkerboard(nn.Module):
    """Two convolutions that alternate as on a checkerboard."""

    def __init__(self) -> None:
        super().__init__()
        self.white, self.black = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 5, padding=2)

    def forward(self, images: Tensor) -> Tensor:
        h, w = images.shape[2:]
        is_white = (torch.arange(h)[:, None] + torch.arange(w)) % 2 == 0
        return torch.where(is_white, self.white(images), self.black(images))


class StackedPlanes(nn.Module):
    """Channels, unbound and stacked again."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = branched_stem()
        self.after = nn.Conv2d(2, 4, 3, padding=1, groups=2)

    def forward(self, images: Tensor) -> Tensor:
        first, second, third, fourth = self.stem(images).unbind(dim=1)
        outputs: Tensor = self.after(torch.stack([first + second, third * fourth], dim=1))
        return outputs


class MixedByEinsum(nn.Module):
    """Channels mixed by einsum, after a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.weight = nn.Conv2d(3, 4, 3, padding=1), nn.Parameter(torch.randn(5, 4))

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("nchw,kc->nkhw", self.stem(images), self.weight)


class UnevenlyPadded(nn.Module):
    """A kernel of four, padded by one element before and two after."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 4, padding="same")

    def forward(self, inputs: Tensor) -> Tensor:
        with warnings.catch_warnings():  # PyTorch warns that it has to copy
            warnings.simplefilter("ignore")
            outputs: Tensor = self.conv(inputs)
        return outputs


class BlurPool(nn.Module):
    """A fixed kernel with stride 2, after reflection padding."""

    kernel: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", (line[:, None] * line).expand(width, 1, 3, 3).clone())

    def forward(self, inputs: Tensor) -> Tensor:
        padded = F.pad(inputs, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.kernel, stride=2, groups=inputs.shape[1])


def repeat_one(conv: nn.Module) -> nn.Module:
    """One and the same module, called twice."""
    return nn.Sequential(conv, nn.ReLU(), conv)


def two_convs(mode: Literal["zeros", "reflect", "replicate", "circular"]) -> nn.Module:
    """Two convolutions, the second strided, with a padding mode."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode=mode),
        nn.ReLU(),
        nn.Conv2d(4, 4, 5, stride=2, padding=2, padding_mode=mode),
    )


def between_convs(*layers: nn.Module) -> nn.Module:
    """Layers that take four channels and put out four, between convolutions."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *layers, nn.Conv2d(4, 4, 3, padding=1))


SMALL: dict[str, tuple[Builder, tuple[int, ...], bool]] = {
    # Convolutions.
    "plain": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 5), nn.ReLU()),
        (3, 17, 23),
        True,
    ),
    "strided": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 5, 3, 2), nn.Conv2d(4, 4, 3, 1, 1)),
        (3, 29, 40),
        True,
    ),
    "more_stride_than_kernel": (lambda: nn.Sequential(nn.Conv2d(3, 4, 2, 3), nn.Conv2d(4, 4, 2, 2)), (3, 25, 32), True),
    "dilated_1_2_4_8": (
        lambda: nn.Sequential(*(nn.Conv2d(3 if d == 1 else 4, 4, 3, padding=d, dilation=d) for d in (1, 2, 4, 8))),
        (3, 33, 40),
        True,
    ),
    "gridding": (
        lambda: nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=2, dilation=2) for _ in range(3))),
        (3, 19, 24),
        True,
    ),
    "unpadded_dilated": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3, dilation=(1, 2)), nn.Conv2d(4, 4, 3, 2, dilation=3)),
        (1, 23, 30),
        True,
    ),
    "depthwise_separable": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1, groups=3), nn.Conv2d(6, 4, 1), nn.Conv2d(4, 4, 5, 1, 2, groups=2)
        ),
        (3, 24, 19),
        True,
    ),
    "grouped_pointwise": (GroupedPointwise, (3, 18, 21), True),
    "even_kernels": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 2, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 4, stride=2, padding=1)),
        (3, 18, 25),
        True,
    ),
    "asymmetric_kernels": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, (1, 7), padding=(0, 3)),
            nn.Conv2d(4, 4, (7, 1), stride=(2, 1), padding=(3, 0)),
            nn.Conv2d(4, 4, (2, 3), stride=(1, 3), dilation=(2, 1)),
        ),
        (3, 26, 33),
        True,
    ),
    "padding_same": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(4, 4, (5, 2), padding="same", dilation=2)),
        (3, 17, 22),
        True,
    ),
    "padding_same_of_even_kernel": (lambda: between_convs(UnevenlyPadded(4)), (3, 18, 21), True),
    "padding_zeros": (lambda: two_convs("zeros"), (3, 20, 27), True),
    "padding_reflect": (lambda: two_convs("reflect"), (3, 20, 27), True),
    "padding_replicate": (lambda: two_convs("replicate"), (3, 20, 27), True),
    "padding_circular": (lambda: two_convs("circular"), (3, 20, 28), True),
    "negative_padding": (
        lambda: Wired(
            lambda images, before, after: after(F.pad(before(images), (-1, 2, 3, -2))),
            before=nn.Conv2d(3, 4, 3, padding=1),
            after=nn.Conv2d(4, 4, 3),
        ),
        (3, 18, 21),
        True,
    ),
    "weight_normalized": (
        lambda: between_convs(weight_norm(nn.Conv2d(4, 4, 3, padding=1)), nn.ReLU()),
        (3, 17, 20),
        True,
    ),
    "called_twice": (lambda: repeat_one(nn.Conv2d(3, 3, 3, padding=1)), (3, 17, 18), True),
    "blur_pool": (lambda: between_convs(nn.MaxPool2d(2, stride=1), BlurPool(4)), (3, 24, 31), True),
    # Transposed convolutions.
    "transposed_2": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)),
        (3, 21, 28),
        True,
    ),
    "transposed_4_kernel": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(4, 4, 4, 2, 1)),
        (3, 22, 18),
        True,
    ),
    "transposed_3_output_padding": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 3, 1), nn.ConvTranspose2d(4, 4, 5, 3, 2, output_padding=(2, 1))),
        (3, 24, 30),
        True,
    ),
    "transposed_dilated": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 3, 2, 2, dilation=2, groups=2)),
        (3, 20, 25),
        True,
    ),
    "transposed_with_holes": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ConvTranspose2d(4, 2, 1, 2, bias=False)),
        (3, 17, 18),
        True,
    ),
    # Up-sampling paths.
    "unet_transposed": (lambda: UNet(lambda: nn.ConvTranspose2d(4, 4, 2, stride=2)), (3, 24, 32), True),
    "unet_transposed_to_odd_size": (lambda: UNet(lambda: nn.ConvTranspose2d(4, 4, 4, 2, 1)), (3, 23, 30), True),
    "unet_nearest": (lambda: UNet(lambda: Resize("nearest")), (3, 24, 32), True),
    "unet_bilinear": (lambda: UNet(lambda: Resize("bilinear", align_corners=False)), (3, 24, 32), True),
    "unet_bilinear_aligned": (lambda: UNet(lambda: Resize("bilinear", align_corners=True)), (3, 24, 20), False),
    "unet_nearest_to_size": (lambda: UNet(lambda: Resize("nearest", to_size=True)), (3, 28, 24), True),
    "unet_nearest_to_odd_size": (lambda: UNet(lambda: Resize("nearest", to_size=True)), (3, 21, 27), False),
    "unet_bilinear_to_odd_size": (
        lambda: UNet(lambda: Resize("bilinear", align_corners=False, to_size=True)),
        (3, 19, 30),
        False,
    ),
    "unet_aligned_to_odd_size": (
        lambda: UNet(lambda: Resize("bilinear", align_corners=True, to_size=True)),
        (3, 25, 22),
        False,
    ),
    "unet_unpadded": (UnpaddedUNet, (3, 30, 38), True),
    "bicubic": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Upsample(scale_factor=2, mode="bicubic")),
        (3, 20, 26),
        True,
    ),
    "bilinear_by_3": (
        lambda: between_convs(nn.AvgPool2d(3), nn.Upsample(scale_factor=3, mode="bilinear")),
        (3, 21, 30),
        True,
    ),
    "bilinear_by_3_halves": (
        lambda: Wired(
            lambda images, conv: conv(F.interpolate(images, scale_factor=1.5, mode="bilinear")),
            conv=nn.Conv2d(3, 4, 3, padding=1),
        ),
        (3, 18, 22),
        True,
    ),
    "bilinear_to_given_size": (lambda: between_convs(nn.Upsample(size=(13, 31), mode="bilinear")), (3, 18, 25), False),
    "nearest_by_half": (
        lambda: Wired(
            lambda images, conv: F.interpolate(conv(images), scale_factor=0.5, mode="nearest"),
            conv=nn.Conv2d(3, 4, 3, padding=1),
        ),
        (3, 18, 24),
        True,
    ),
    "nearest_exact": (
        lambda: between_convs(nn.AvgPool2d(2), nn.Upsample(scale_factor=3, mode="nearest-exact")),
        (3, 18, 24),
        True,
    ),
    "smoothed_bilinear_by_half": (
        lambda: Wired(
            lambda images, conv: F.interpolate(conv(images), scale_factor=0.5, mode="bilinear", antialias=True),
            conv=nn.Conv2d(3, 4, 3, padding=1),
        ),
        (3, 24, 28),
        True,
    ),
    "repeated_entries": (
        lambda: Wired(
            lambda images, conv: conv(images.repeat_interleave(2, dim=2).repeat_interleave(3, dim=3)),
            conv=nn.Conv2d(3, 4, 3, padding=1),
        ),
        (3, 17, 18),
        True,
    ),
    "expanded_entries": (
        lambda: Wired(
            lambda images, conv: conv(
                images[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).flatten(4).flatten(2, 3)
            ),
            conv=nn.Conv2d(3, 4, 3, padding=1),
        ),
        (3, 18, 17),
        True,
    ),
    "pixel_shuffle": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(2, 4, 3, padding=1)),
        (3, 17, 20),
        True,
    ),
    "pixel_unshuffle": (
        lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3, padding=1), nn.ReLU()),
        (3, 22, 28),
        True,
    ),
    "slices_to_channels": (
        lambda: Wired(
            lambda images, conv: conv(torch.cat([images[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=1)),
            conv=nn.Conv2d(12, 4, 3, padding=1),
        ),
        (3, 20, 26),
        True,
    ),
    "parallel_resolutions": (ParallelResolutions, (3, 20, 26), True),
    # Pools.
    "max_pool_ceil": (lambda: between_convs(nn.MaxPool2d(3, 2, ceil_mode=True)), (3, 18, 24), True),
    "max_pool_padded_ceil": (lambda: between_convs(nn.MaxPool2d(3, 2, 1, ceil_mode=True)), (3, 19, 22), True),
    "max_pool_dilated": (lambda: between_convs(nn.MaxPool2d(3, 1, 1, dilation=2)), (3, 18, 21), True),
    "max_pool_rectangular": (
        lambda: between_convs(nn.MaxPool2d((1, 3), stride=(1, 2), padding=(0, 1))),
        (3, 17, 24),
        True,
    ),
    "avg_pool_ceil": (
        lambda: between_convs(nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)),
        (3, 20, 25),
        True,
    ),
    "avg_pool_with_padding": (lambda: between_convs(nn.AvgPool2d(4, 3, 2, count_include_pad=True)), (3, 23, 30), True),
    "lp_pool": (lambda: between_convs(nn.LPPool2d(2, 3, stride=2)), (3, 21, 26), True),
    "mean_of_tiles": (
        lambda: between_convs(Wired(lambda x: x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5)))),
        (3, 20, 26),
        True,
    ),
    "mean_of_sliding_windows": (
        lambda: between_convs(Wired(lambda features: features.unfold(2, 4, 2).unfold(3, 3, 3).mean(dim=(4, 5)))),
        (3, 20, 27),
        True,
    ),
    "adaptive_avg_to_1": (lambda: between_convs(nn.AdaptiveAvgPool2d(1)), (3, 17, 20), False),
    "adaptive_avg_to_3": (lambda: between_convs(nn.AdaptiveAvgPool2d(3)), (3, 17, 24), False),
    "adaptive_avg_of_columns": (lambda: between_convs(nn.AdaptiveAvgPool2d((1, None))), (3, 18, 21), False),
    "adaptive_max_to_1": (lambda: between_convs(nn.AdaptiveMaxPool2d(1)), (3, 18, 19), False),
    "adaptive_max_to_5": (lambda: between_convs(nn.AdaptiveMaxPool2d((5, 4))), (3, 22, 33), False),
    # Branches and shortcuts.
    "inception": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), mixed_5(4, 2), nn.MaxPool2d(3, 2, 1), mixed_6(8, 1)),
        (3, 32, 37),
        True,
    ),
    "dense": (
        lambda: nn.Sequential(DenseBlock(3, 2, 3), nn.Conv2d(9, 4, 1), nn.AvgPool2d(2), DenseBlock(4, 2, 2)),
        (3, 22, 28),
        True,
    ),
    "residual": (
        lambda: nn.Sequential(basic_unit(3, 4, 1), basic_unit(4, 4, 1), basic_unit(4, 6, 2)),
        (3, 20, 25),
        True,
    ),
    "bottlenecks": (
        lambda: nn.Sequential(bottleneck_unit(3, 1, 2), bottleneck_unit(4, 1, 1), slim_unit(4, 1, 2)),
        (3, 25, 30),
        True,
    ),
    "sliced_shortcut": (
        lambda: nn.Sequential(
            Residual(
                conv_norm(3, 5, 3, 2),
                Wired(lambda images: F.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))),
            ),
            conv_norm_relu(5, 4),
        ),
        (3, 19, 24),
        True,
    ),
    "misaligned_branches": (
        lambda: Wired(
            lambda images, left, right: left(F.pad(images, (1, 0, 1, 0))) + right(F.pad(images, (0, 2, 0, 2))),
            left=nn.Conv2d(3, 4, 2),
            right=nn.Conv2d(3, 4, 3),
        ),
        (3, 17, 20),
        True,
    ),
    "shuffle": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), ShuffleUnit(4), ShuffleUnit(4), ShuffleUnit(4)),
        (3, 24, 29),
        True,
    ),
    "pyramid_levels_in_dict": (PyramidLevels, (3, 20, 24), True),
    "shared_at_two_sizes_in_tuple": (
        lambda: Wired(
            lambda images, conv, pool: (conv(images), conv(pool(images))),
            conv=nn.Conv2d(3, 4, 3, padding=1),
            pool=nn.AvgPool2d(2),
        ),
        (3, 18, 22),
        True,
    ),
    "spatial_gate": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), SpatialGate()), (3, 24, 27), True),
    "gated_linear_unit": (
        lambda: nn.Sequential(branched_stem(), nn.GLU(dim=1), nn.Conv2d(2, 4, 3, 1, 1)),
        (3, 18, 19),
        True,
    ),
    # Operations on channels alone.
    "activations": (
        lambda: between_convs(nn.PReLU(), nn.Dropout2d(), nn.SiLU(), nn.Hardswish(inplace=True), nn.Softmax2d()),
        (3, 17, 19),
        True,
    ),
    "group_norm": (lambda: between_convs(nn.GroupNorm(2, 4), nn.ReLU()), (3, 18, 23), True),
    "group_norm_of_branches": (lambda: nn.Sequential(branched_stem(), nn.GroupNorm(2, 4)), (3, 17, 20), True),
    "instance_norm": (lambda: between_convs(nn.InstanceNorm2d(4, affine=True), nn.ReLU()), (3, 18, 21), True),
    "layer_norm_of_whole_image": (
        lambda: between_convs(Wired(lambda features: F.layer_norm(features, features.shape[1:]))),
        (3, 17, 22),
        True,
    ),
    "local_response_norm": (lambda: nn.Sequential(branched_stem(), nn.LocalResponseNorm(3)), (3, 18, 20), True),
    "convnext": (lambda: nn.Sequential(nn.Conv2d(3, 4, 4, 4), ConvNeXtBlock(4)), (3, 36, 40), True),
    "einsum": (MixedByEinsum, (3, 17, 21), True),
    "stack_and_unbind": (StackedPlanes, (3, 19, 20), True),
    "channels_by_index": (
        lambda: nn.Sequential(
            branched_stem(), Wired(lambda features: features[:, [2, 0, 3]]), nn.Conv2d(3, 3, 3, groups=3)
        ),
        (3, 18, 20),
        True,
    ),
    # What moves entries about, and what writes to tensors.
    "rolled": (
        lambda: Wired(
            lambda images, conv: torch.roll(conv(images), shifts=(2, -3), dims=(2, 3)) + images,
            conv=nn.Conv2d(3, 3, 3, padding=1),
        ),
        (3, 18, 23),
        True,
    ),
    "flipped": (
        lambda: Wired(lambda images, conv: conv(images).flip(dims=(2, 3)), conv=nn.Conv2d(3, 4, 3, 2, 1)),
        (3, 18, 25),
        False,
    ),
    "flipped_and_added": (
        lambda: Wired(lambda images, conv: conv(images) + conv(images.flip(3)).flip(3), conv=nn.Conv2d(3, 4, 4)),
        (3, 17, 22),
        True,
    ),
    "mirrored_sum": (
        lambda: Wired(lambda images, conv: conv(images) + images.flip(3), conv=nn.Conv2d(3, 3, 3, padding=1)),
        (3, 17, 22),
        False,
    ),
    "in_place": (InPlace, (3, 18, 21), True),
    "interleaved_rows": (InterleavedRows, (3, 17, 20), True),
    "shifted_channels": (ShiftedChannels, (3, 18, 20), True),
    "unfolded": (UnfoldedConvolution, (3, 19, 24), True),
    "folded": (FoldedColumns, (3, 19, 25), True),
    "checkerboard": (Checkerboard, (3, 18, 21), True),
    "masked": (ConstantMask, (3, 18, 22), False),
    "cumulative_sum": (
        lambda: Wired(lambda images, conv: conv(images).cumsum(dim=3), conv=nn.Conv2d(3, 4, 3, padding=1)),
        (3, 17, 20),
        False,
    ),
    # Operations over all positions.
    "classifier": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9 * 11, 5)),
        (3, 18, 22),
        False,
    ),
    "squeeze_excitation": (lambda: between_convs(SqueezeExcitation(4)), (3, 17, 24), False),
    "strip_gate": (lambda: between_convs(StripGate(4)), (3, 20, 23), False),
    "atrous_pyramid": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), AtrousPyramid(4, 2)), (3, 25, 30), False),
    "non_local": (lambda: between_convs(NonLocal(4)), (3, 17, 18), False),
    "axial_attention": (lambda: between_convs(AxialAttention(4)), (3, 17, 20), False),
    "token_attention": (TokenAttention, (3, 20, 28), False),
    "vision_transformer": (VisionTransformer, (3, 20, 28), False),
    "mixer": (Mixer, (3, 20, 24), False),
    "fourier_filter": (lambda: between_convs(FourierFilter(4)), (3, 17, 20), False),
    "windows": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), SwinBlock(4, 0)), (3, 20, 24), True),
    "shifted_windows": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 2, 2), SwinBlock(4, 0), SwinBlock(4, 2)),
        (3, 32, 40),
        True,
    ),
    # Other numbers of dimensions.
    "causal_1d": (
        lambda: nn.Sequential(
            nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(2, 4, 3, dilation=2), nn.ReLU(), nn.Conv1d(4, 4, 3, 2)
        ),
        (2, 37),
        True,
    ),
    "unet_1d": (
        lambda: Wired(
            lambda signal, down, up, after: after(torch.cat([up(down(signal)), signal], dim=1)),
            down=nn.Sequential(nn.Conv1d(2, 4, 5, padding=2), nn.MaxPool1d(2), nn.Conv1d(4, 4, 3, padding=1)),
            up=nn.ConvTranspose1d(4, 4, 2, stride=2),
            after=nn.Conv1d(6, 4, 3, padding=1),
        ),
        (2, 34),
        True,
    ),
    "volume_3d": (
        lambda: nn.Sequential(
            nn.Conv3d(1, 2, 3, padding=1),
            nn.MaxPool3d((1, 2, 2)),
            nn.Conv3d(2, 2, (2, 3, 3), (2, 1, 1)),
            nn.BatchNorm3d(2),
        ),
        (1, 17, 18, 20),
        True,
    ),
}
"""Name -> (builder, input size, is_local).

A local network runs at any size that its strides divide, and far from the border it is equivariant to shifts by its
period. The dependence of normalization on statistics of the image is ignored.
"""
