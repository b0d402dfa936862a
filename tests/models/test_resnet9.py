import pytest
import torch
from torch.nn import functional as F

from tests.models.oracles import count_parameters, normalize, randomize
from visionlib.models.resnet9 import resnet9


def test_parameter_count_follows_the_formula() -> None:
    widths = [(3, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    formula = sum(9 * i * o + 2 * o for i, o in widths) + 512 * 10
    assert formula == 6_573_120
    with torch.device("meta"):
        assert count_parameters(resnet9()) == formula
        assert count_parameters(resnet9(classes=3, channels=1)) == formula - 7 * 512 - 2 * 9 * 64


def test_forward_is_its_formula() -> None:
    model = resnet9(classes=4)
    state = randomize(model)
    for name, value in state.items():
        value.mul_(0.02 if name.endswith("conv.weight") else 1)  # or the numbers grow out of all proportion
    inputs = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def convolve(x: torch.Tensor, name: str) -> torch.Tensor:
        x = F.conv2d(x, state[f"{name}.conv.weight"], padding=1)
        return normalize(x, state, f"{name}.bn").clamp(min=0)

    x = F.max_pool2d(convolve(convolve(inputs, "prep"), "layer1.0"), 2)
    x = x + convolve(convolve(x, "layer1.2.res1"), "layer1.2.res2")
    x = F.max_pool2d(convolve(x, "layer2.0"), 2)
    x = F.max_pool2d(convolve(x, "layer3.0"), 2)
    x = x + convolve(convolve(x, "layer3.2.res1"), "layer3.2.res2")
    logits = F.max_pool2d(x, 4).flatten(1) @ state["linear.weight"].T * 0.125
    torch.testing.assert_close(model(inputs), logits)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (33, 47), (96, 96)])
def test_any_image_size_works(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        assert resnet9(classes=7, channels=1)(torch.empty(2, 1, *size)).shape == (2, 7)
