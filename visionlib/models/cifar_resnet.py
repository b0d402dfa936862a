"""He's ResNets for CIFAR: three stages of 16, 32 and 64, with shortcuts that have no parameters.

The names of modules are those of akamaster/pytorch_resnet_cifar10, so that its checkpoints load.

Source: He et al. 2015, arXiv:1512.03385, section 4.2.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class SubsampleShortcut(nn.Module):
    """Option A of the paper: take every second row and column, and fill the new channels with zeros.

    The zeros are split evenly before and after the old channels, as the published weights require.
    """

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        before = (out_width - in_width) // 2
        self.padding = (0, 0, 0, 0, before, out_width - in_width - before)

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Halve the height and width, rounding up, as the convolution beside it does."""
        return F.pad(inputs[:, :, ::2, ::2], self.padding)


class CifarBasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = SubsampleShortcut(in_width, width) if stride == 2 else nn.Sequential()
        self.relu2 = nn.ReLU()

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Add the output of the two convolutions to the shortcut."""
        features = self.relu1(self.bn1(self.conv1(inputs)))
        features = self.bn2(self.conv2(features))
        outputs: Tensor = self.relu2(features + self.shortcut(inputs))
        return outputs


class CifarResNet(nn.Module):
    """Stem, three stages of 16, 32 and 64, global average, linear: 6 * depth + 2 layers with weights.

    Args:
        depth: blocks in each stage.
        classes: number of logits.
        channels: channels of the images.
    """

    def __init__(self, depth: int, *, classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu1 = nn.ReLU()
        self.layer1 = _make_stage(16, 16, depth, stride=1)
        self.layer2 = _make_stage(16, 32, depth, stride=2)
        self.layer3 = _make_stage(32, 64, depth, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, classes)
        self.apply(_initialize)

    def forward(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return the logits of normalized images."""
        features = self.relu1(self.bn1(self.conv1(inputs)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.linear(torch.flatten(self.pool(features), 1))
        return logits


def _make_stage(in_width: int, width: int, depth: int, *, stride: int) -> nn.Sequential:
    """Chain `depth` blocks, of which the first changes the shape."""
    first = CifarBasicBlock(in_width, width, stride)
    return nn.Sequential(first, *(CifarBasicBlock(width, width, 1) for _ in range(depth - 1)))


def _initialize(module: nn.Module) -> None:
    """Draw weights as the paper does: torch's default, smaller by a factor of 2.4, is too small for deep networks."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)


def resnet20(classes: int = 10, channels: int = 3) -> CifarResNet:
    """Build a ResNet-20: 269,722 parameters for ten classes and three channels."""
    return CifarResNet(3, classes=classes, channels=channels)


def resnet32(classes: int = 10, channels: int = 3) -> CifarResNet:
    """Build a ResNet-32: 464,154 parameters for ten classes and three channels."""
    return CifarResNet(5, classes=classes, channels=channels)


def resnet44(classes: int = 10, channels: int = 3) -> CifarResNet:
    """Build a ResNet-44: 658,586 parameters for ten classes and three channels."""
    return CifarResNet(7, classes=classes, channels=channels)


def resnet56(classes: int = 10, channels: int = 3) -> CifarResNet:
    """Build a ResNet-56: 853,018 parameters for ten classes and three channels."""
    return CifarResNet(9, classes=classes, channels=channels)


def resnet110(classes: int = 10, channels: int = 3) -> CifarResNet:
    """Build a ResNet-110: 1,727,962 parameters for ten classes and three channels."""
    return CifarResNet(18, classes=classes, channels=channels)


def resnet1202(classes: int = 10, channels: int = 3) -> CifarResNet:
    """Build a ResNet-1202: 19,421,274 parameters for ten classes and three channels."""
    return CifarResNet(200, classes=classes, channels=channels)
