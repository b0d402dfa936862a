"""The ResNets of ImageNet with a stem for small images: ResNet-18, 34, 50, 101 and 152.

The names of modules are those of kuangliu/pytorch-cifar, so that its checkpoints load. Modules are called in the
order of its layer table: in a block the main path first, the shortcut after the last normalization, the block last.

Source: He et al. 2015, arXiv:1512.03385, table 1; the 3x3 stem without pooling is kuangliu's.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def _make_shortcut(in_width: int, out_width: int, stride: int) -> nn.Sequential:
    """Project where the shape changes; else the identity."""
    if stride == 1 and in_width == out_width:
        return nn.Sequential()
    projection = nn.Conv2d(in_width, out_width, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(out_width))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, for ResNet-18 and 34."""

    expansion = 1
    """Channels out of the block per `width`."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = _make_shortcut(in_width, width, stride)
        self.relu2 = nn.ReLU()

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Add the output of the two convolutions to the shortcut."""
        features = self.relu1(self.bn1(self.conv1(inputs)))
        features = self.bn2(self.conv2(features))
        outputs: Tensor = self.relu2(features + self.shortcut(inputs))
        return outputs


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 convolutions, and a shortcut, for ResNet-50 and deeper."""

    expansion = 4
    """Channels out of the block per `width`."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        out_width = width * self.expansion
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, out_width, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_width)
        self.shortcut = _make_shortcut(in_width, out_width, stride)
        self.relu3 = nn.ReLU()

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Add the output of the three convolutions to the shortcut."""
        features = self.relu1(self.bn1(self.conv1(inputs)))
        features = self.relu2(self.bn2(self.conv2(features)))
        features = self.bn3(self.conv3(features))
        outputs: Tensor = self.relu3(features + self.shortcut(inputs))
        return outputs


class ResNet(nn.Module):
    """Stem, four stages of 64, 128, 256 and 512, global average, linear; for images of any size.

    Args:
        block: type of the residual blocks.
        depths: number of blocks in each stage.
        classes: number of logits.
        channels: channels of the images.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        *,
        classes: int,
        channels: int,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu1 = nn.ReLU()
        self.layer1 = _make_stage(block, 64, 64, depths[0], stride=1)
        self.layer2 = _make_stage(block, 64 * block.expansion, 128, depths[1], stride=2)
        self.layer3 = _make_stage(block, 128 * block.expansion, 256, depths[2], stride=2)
        self.layer4 = _make_stage(block, 256 * block.expansion, 512, depths[3], stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(512 * block.expansion, classes)

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of normalized images."""
        features = self.relu1(self.bn1(self.conv1(inputs)))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        logits: Tensor = self.linear(torch.flatten(self.pool(features), 1))
        return logits


def _make_stage(
    block: type[BasicBlock] | type[Bottleneck], in_width: int, width: int, depth: int, *, stride: int
) -> nn.Sequential:
    """Chain `depth` blocks, of which the first changes the shape."""
    first = block(in_width, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1) for _ in range(depth - 1)))


def resnet18(classes: int = 10, channels: int = 3) -> ResNet:
    """Build a ResNet-18: 11,173,962 parameters for ten classes and three channels."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes=classes, channels=channels)


def resnet34(classes: int = 10, channels: int = 3) -> ResNet:
    """Build a ResNet-34: 21,282,122 parameters for ten classes and three channels."""
    return ResNet(BasicBlock, (3, 4, 6, 3), classes=classes, channels=channels)


def resnet50(classes: int = 10, channels: int = 3) -> ResNet:
    """Build a ResNet-50: 23,520,842 parameters for ten classes and three channels."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes=classes, channels=channels)


def resnet101(classes: int = 10, channels: int = 3) -> ResNet:
    """Build a ResNet-101: 42,512,970 parameters for ten classes and three channels."""
    return ResNet(Bottleneck, (3, 4, 23, 3), classes=classes, channels=channels)


def resnet152(classes: int = 10, channels: int = 3) -> ResNet:
    """Build a ResNet-152: 58,156,618 parameters for ten classes and three channels."""
    return ResNet(Bottleneck, (3, 8, 36, 3), classes=classes, channels=channels)
