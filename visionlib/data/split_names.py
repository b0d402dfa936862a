"""The usual words for splits, in the names of folders and files.

Source: https://huggingface.co/docs/hub/datasets-file-names-and-splits
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

SPLIT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "validation": "validation",
        "valid": "validation",
        "val": "validation",
        "dev": "validation",
        "test": "test",
        "testing": "test",
        "eval": "test",
        "evaluation": "test",
    }
)
"""Word -> split. In a name a word stands between its ends, digits, hyphens, underscores, points or spaces."""


def splits_in(name: str) -> set[str]:
    """Return the splits that a name tells, in any case: `seg_train` tells train, `Test_tube` tells test."""
    return {SPLIT_WORDS[word] for word in re.findall(r"[^\W\d_]+", name.lower()) if word in SPLIT_WORDS}
