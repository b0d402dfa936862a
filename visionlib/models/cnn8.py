"""A plain network of eight layers with weights, for short training: most accuracy per second on a CPU.

Source: Jordan 2024, arXiv:2404.00498, sections 3.1 to 3.3 (airbench94). Normalizations have weights here, not only
biases, and torch's default momentum.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, fx, nn


@fx.wrap
def halve(inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h_out w_out"]:
    """Take the maximum over 2x2 pixels; a tracer calls it whole, since it reads the shape."""
    return F.max_pool2d(inputs, [min(2, side) for side in inputs.shape[-2:]])


class HalvingMaxPool(nn.Module):
    """A maximum over 2x2 pixels that keeps a side of one pixel, to which small images shrink."""

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h_out w_out"]:
        """Halve the height and width, rounding down, to one at least."""
        return halve(inputs)


class ConvGroup(nn.Module):
    """Two 3x3 convolutions, normalized, through a GELU; a maximum over 2x2 pixels follows the first one."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, padding=1, bias=False)
        self.pool = HalvingMaxPool()
        self.bn1 = nn.BatchNorm2d(width)
        self.gelu1 = nn.GELU()
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.gelu2 = nn.GELU()
        for conv in (self.conv1, self.conv2):
            _pass_inputs_on(conv)

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Halve the height and width, rounding down, to one at least."""
        features = self.gelu1(self.bn1(self.pool(self.conv1(inputs))))
        outputs: Tensor = self.gelu2(self.bn2(self.conv2(features)))
        return outputs


class CNN8(nn.Module):
    """Stem of 2x2 filters, groups of 64, 256 and 256, global maximum, linear.

    The stem's filters do not learn, only its biases do. They are an orthogonal matrix and its negative, so that no
    information is lost. The setting `whiten` replaces them by the principal components of the training images' patches,
    of equal variance. Every convolution starts by passing its inputs on.

    The last pooling is 3x3 in the original, which is the whole map for images of 32 pixels; here it is the whole map at
    any size.

    Args:
        classes: number of logits.
        channels: channels of the images; the stem has eight filters for each.
    """

    logit_scale = 1 / 9
    """The linear layer's outputs times this are the logits."""

    def __init__(self, *, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = _make_stem(channels)
        self.gelu = nn.GELU()
        self.layer1 = ConvGroup(self.stem.out_channels, 64)
        self.layer2 = ConvGroup(64, 256)
        self.layer3 = ConvGroup(256, 256)
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.linear = nn.Linear(256, classes, bias=False)

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of normalized images."""
        features = self.layer3(self.layer2(self.layer1(self.gelu(self.stem(inputs)))))
        logits: Tensor = self.linear(torch.flatten(self.pool(features), 1))
        return logits * self.logit_scale


@torch.no_grad()
def _make_stem(channels: int) -> nn.Conv2d:
    """Make a convolution without padding, whose filters are frozen and whose biases start at zero."""
    size = 4 * channels
    stem = nn.Conv2d(channels, 2 * size, kernel_size=2)
    basis = nn.init.orthogonal_(torch.empty(size, size)).view(size, channels, 2, 2)
    stem.weight.copy_(torch.cat([basis, -basis]))
    stem.weight.requires_grad_(False)
    nn.init.zeros_(stem.bias)  # type: ignore[arg-type]
    return stem


@torch.no_grad()
def _pass_inputs_on(conv: nn.Conv2d) -> None:
    """Make the first filters an identity; those beyond the number of inputs stay random."""
    nn.init.dirac_(conv.weight[: conv.in_channels])


def cnn8(classes: int = 10, channels: int = 3) -> CNN8:
    """Build a CNN-8: 1,972,792 parameters for ten classes and three channels, 288 of them frozen."""
    return CNN8(classes=classes, channels=channels)
