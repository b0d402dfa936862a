"""The names of the built-in networks, in a file of their own so that `visionlib --help` needs no torch."""

MODEL_NAMES: tuple[str, ...] = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "resnet1202",
    "resnet9",
    "cnn8",
)
"""In the order of the registry; `tests/models/test_registry.py` compares the two."""
