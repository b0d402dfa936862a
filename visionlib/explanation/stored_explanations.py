"""`StoredExplanations`: the maps stored in a run, as bytes, with a manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from visionlib.errors import ConfigError
from visionlib.explanation.explanation import Explanation
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.results import load_result, save_result


@dataclass(frozen=True)
class StoredMap:
    """The manifest's entry of the maps of one method for one target.

    Attributes:
        key: of the arrays.
        method: its name.
        layers: names of the layers; none for maps at the input.
        resolution: height and width of the maps, in cells.
        target: `predicted`, `true`, or a class name.
    """

    key: str
    method: str
    layers: tuple[str, ...]
    resolution: tuple[int, int]
    target: str


@dataclass(frozen=True, eq=False)
class StoredExplanations:
    """Maps of test images by several methods or for several targets.

    Attributes:
        maps: their methods, layers and targets.
        index: stable image ids.
        predictions: predicted class of each image.
        labels: true class of each image.
        values: by key, the maps, each divided by its maximum, as bytes; 0 for maps without evidence.
        peaks: by key, these maxima.
        is_constant: by key, whether a map has the same value everywhere.
        dataset: name of the run's data.
        content_hash: of the test split.
        seed: of the sample.
        selection: description of the selection of images.
        completeness_gaps: by key, those of maps by integrated gradients.
    """

    maps: tuple[StoredMap, ...]
    index: Int64[Tensor, "n"]
    predictions: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    values: Mapping[str, UInt8[Tensor, "n h w"]]
    peaks: Mapping[str, Float32[Tensor, "n"]]
    is_constant: Mapping[str, Bool[Tensor, "n"]]
    dataset: str
    content_hash: str
    seed: int
    selection: str
    completeness_gaps: Mapping[str, Float32[Tensor, "n"]] = field(default_factory=dict)

    @classmethod
    def from_explanations(cls, explanations: Sequence[Explanation], **fields: Any) -> "StoredExplanations":
        """Convert explanations of the same images.

        Args:
            explanations: by different methods, at different layers, or for different targets.
            **fields: dataset, content_hash, seed and selection.
        Raises:
            ConfigError: if there are none, their images differ or have no labels, or two are the same.
        """
        if not explanations:
            raise ConfigError("explanations", "there are none to keep", "give at least one")
        first = explanations[0]
        if first.labels is None or any(not torch.equal(first.index, other.index) for other in explanations):
            raise ConfigError("explanations", "are not of the same images with labels", "keep those of one split")
        by_key: dict[str, Explanation] = {}
        for explanation in explanations:
            key = f"{explanation.method}.{explanation.target}"
            if key in by_key and by_key[key].layers != explanation.layers:
                key = f"{explanation.method}@{'+'.join(explanation.layers)}.{explanation.target}"
            if key in by_key:
                subject = f"{explanation.method} of {', '.join(explanation.layers)}"
                raise ConfigError(subject, "is asked for twice", "ask for it once")
            by_key[key] = explanation
        return cls(
            maps=tuple(
                StoredMap(key, one.method, one.layers, one.resolution, one.target) for key, one in by_key.items()
            ),
            index=first.index,
            predictions=first.predictions,
            labels=first.labels,
            values={key: (one.scaled * 255).round().to(torch.uint8) for key, one in by_key.items()},
            peaks={key: one.maps.amax((1, 2)) for key, one in by_key.items()},
            is_constant={key: one.is_constant for key, one in by_key.items()},
            completeness_gaps={
                key: one.completeness_gaps for key, one in by_key.items() if one.completeness_gaps is not None
            },
            **fields,
        )

    def save(self, run: Run) -> None:
        """Write `explanations/maps.npz` and `explanations/manifest.json`.

        Raises:
            RunError: if the run is damaged, or the folder cannot be written.
        """
        record = {
            "weights_sha256": load_record(run).weights_sha256,
            "dataset": self.dataset,
            "content_hash": self.content_hash,
            "split": "test",
            "seed": self.seed,
            "selection": self.selection,
            "n": len(self.index),
            "maps": [asdict(entry) for entry in self.maps],
        }
        arrays = {"index": self.index, "predicted": self.predictions, "label": self.labels}
        for key in self.values:
            arrays[key] = self.values[key]
            arrays[f"{key}.peak"] = self.peaks[key]
            arrays[f"{key}.is_constant"] = self.is_constant[key]
        for key, gaps in self.completeness_gaps.items():
            arrays[f"{key}.completeness_gap"] = gaps
        save_result(
            run.explanations / "manifest.json",
            record,
            arrays={name: tensor.numpy() for name, tensor in arrays.items()},
            file=run.explanations / "maps.npz",
        )


def load_explanations(run: Run) -> StoredExplanations:
    """Read the maps that a run keeps.

    Raises:
        RunError: if a file is absent or damaged, or the maps are of other weights than the run's.
    """
    return load_result(
        run.explanations / "manifest.json",
        {"weights_sha256": load_record(run).weights_sha256},
        _build,
        remedy="visionlib explain",
        file=run.explanations / "maps.npz",
    )


def _build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> StoredExplanations:
    maps = tuple(
        StoredMap(
            str(entry["key"]),
            str(entry["method"]),
            tuple(map(str, entry["layers"])),
            (int(entry["resolution"][0]), int(entry["resolution"][1])),
            str(entry["target"]),
        )
        for entry in record["maps"]
    )
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return StoredExplanations(
        maps,
        index=tensors["index"],
        predictions=tensors["predicted"],
        labels=tensors["label"],
        values={entry.key: tensors[entry.key] for entry in maps},
        peaks={entry.key: tensors[f"{entry.key}.peak"] for entry in maps},
        is_constant={entry.key: tensors[f"{entry.key}.is_constant"] for entry in maps},
        dataset=str(record["dataset"]),
        content_hash=str(record["content_hash"]),
        seed=int(record["seed"]),
        selection=str(record["selection"]),
        completeness_gaps={
            entry.key: tensors[name] for entry in maps if (name := f"{entry.key}.completeness_gap") in tensors
        },
    )
