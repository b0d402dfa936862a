"""David Page's ResNet-9: wide, shallow and quick to train.

Source: "How to train your ResNet", part 4, and davidcpage/cifar10-fast.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """A 3x3 convolution, normalized, through a ReLU."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, width, kernel_size=3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c_out h w"]:
        """Keep height and width."""
        outputs: Tensor = self.relu(self.bn(self.conv(inputs)))
        return outputs


class Residual(nn.Module):
    """Two convolutions whose result is added to their input; the sum goes through no ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.res1 = ConvBlock(width, width)
        self.res2 = ConvBlock(width, width)

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Keep the shape."""
        features: Tensor = self.res2(self.res1(inputs))
        return inputs + features


class ResNet9(nn.Module):
    """Stem of 64, stages of 128, 256 and 512 of which the outer two have a residual branch, global maximum, linear.

    The last pooling is 4x4 in the original, which is the whole map for images of 32 pixels; here it is the whole map at
    any size from 8 pixels up.

    Args:
        classes: number of logits.
        channels: channels of the images.
    """

    logit_scale = 0.125
    """The linear layer's outputs times this are the logits."""

    def __init__(self, *, classes: int, channels: int) -> None:
        super().__init__()
        self.prep = ConvBlock(channels, 64)
        self.layer1 = nn.Sequential(ConvBlock(64, 128), nn.MaxPool2d(2), Residual(128))
        self.layer2 = nn.Sequential(ConvBlock(128, 256), nn.MaxPool2d(2))
        self.layer3 = nn.Sequential(ConvBlock(256, 512), nn.MaxPool2d(2), Residual(512))
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.linear = nn.Linear(512, classes, bias=False)

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of normalized images."""
        features = self.layer3(self.layer2(self.layer1(self.prep(inputs))))
        logits: Tensor = self.linear(torch.flatten(self.pool(features), 1))
        return logits * self.logit_scale


def resnet9(classes: int = 10, channels: int = 3) -> ResNet9:
    """Build a ResNet-9: 6,573,120 parameters for ten classes and three channels."""
    return ResNet9(classes=classes, channels=channels)
