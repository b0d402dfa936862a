"""Explanations that stay in a run's folder: maps as bytes, and a manifest of what they are of."""

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from visionlib.errors import ConfigError, RunError
from visionlib.explanation.explanation import Explanation
from visionlib.inference.trained_model import load_record
from visionlib.runs import Run, read_json, write_bytes, write_json

_REMEDY = "make it anew with `visionlib explain`"


@dataclass(frozen=True)
class KeptMap:
    """What the manifest says of the maps of one method for one target.

    Attributes:
        key: of its arrays.
        method: its name.
        layers: names of the layers.
        resolution: height and width of the maps in cells.
        target: `predicted`, `true`, or the name of a class.
    """

    key: str
    method: str
    layers: tuple[str, ...]
    resolution: tuple[int, int]
    target: str


@dataclass(frozen=True, eq=False)
class KeptExplanations:
    """What lies in the folder.

    Attributes:
        maps: what there is.
        index: what each image is called for good.
        predictions: the class that the network says.
        labels: its true class.
        values: by key, each map divided by its maximum, as bytes; 0 where it says nothing.
        peaks: by key, that maximum.
        selection: which images these are, in words.
    """

    maps: tuple[KeptMap, ...]
    index: Int64[Tensor, "n"]
    predictions: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    values: Mapping[str, UInt8[Tensor, "n h w"]]
    peaks: Mapping[str, Float32[Tensor, "n"]]
    selection: str


def save_explanations(run: Run, explanations: Sequence[Explanation], record: Mapping[str, Any]) -> None:
    """Write `maps.npz`, then `manifest.json`, which vouches for it.

    Args:
        run: the run.
        explanations: of the same images, by whatever methods and for whatever targets.
        record: fields of the manifest besides: dataset, content_hash, split, seed, selection.
    Raises:
        ConfigError: if there are none, they are of different images or unlabelled ones, or two are the same.
        RunError: if the folder cannot be written.
    """
    if not explanations:
        raise ConfigError("explanations", "there are none to keep", "give at least one")
    first = explanations[0]
    if first.labels is None or any(not torch.equal(first.index, one.index) for one in explanations):
        raise ConfigError("explanations", "are not of the same images with labels", "keep those of one split")
    kinds = [(one.method, one.layers, one.target) for one in explanations]
    for place, kind in enumerate(kinds):
        if kind in kinds[:place]:
            raise ConfigError(f"{kind[0]} of {', '.join(kind[1])}", "is asked for twice", "ask for it once")
    arrays: dict[str, Any] = {
        "index": first.index.numpy(),
        "predicted": first.predictions.numpy(),
        "label": first.labels.numpy(),
    }
    maps = []
    for one in explanations:
        key = f"{one.method}.{one.target}"
        if key in arrays:
            # The same method at other layers.
            key = f"{one.method}@{'+'.join(one.layers)}.{one.target}"
        arrays[key] = (one.scaled * 255).round().to(torch.uint8).numpy()
        arrays[f"{key}.peak"] = one.maps.amax((1, 2)).numpy()
        arrays[f"{key}.is_constant"] = one.is_constant.numpy()
        maps.append(
            {
                "key": key,
                "method": one.method,
                "layers": list(one.layers),
                "resolution": list(one.resolution),
                "target": one.target,
            }
        )
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    manifest = {
        "weights_sha256": load_record(run).weights_sha256,
        **record,
        "n": len(first),
        "maps": maps,
        "arrays_sha256": hashlib.sha256(content).hexdigest(),
    }
    try:
        run.explanations.mkdir(exist_ok=True)
        write_bytes(run.explanations / "maps.npz", content)
        write_json(run.explanations / "manifest.json", manifest)
    except OSError as error:
        raise RunError(
            run.explanations, f"cannot be written ({error.strerror})", "copy the run to where you may write"
        ) from error


def load_explanations(run: Run) -> KeptExplanations:
    """Read what `save_explanations` wrote.

    Raises:
        RunError: if a file is absent or damaged, or of other weights than the run's.
    """
    place = run.explanations / "maps.npz"
    if not place.is_file() or not (run.explanations / "manifest.json").is_file():
        raise RunError(place, "the run lacks it", _REMEDY)
    manifest = read_json(run.explanations / "manifest.json")
    if manifest.get("weights_sha256") != load_record(run).weights_sha256:
        raise RunError(place, "is of other weights", _REMEDY)
    content = place.read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.get("arrays_sha256"):
        raise RunError(place, "is not the file that its manifest vouches for", _REMEDY)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            maps = tuple(
                KeptMap(
                    str(one["key"]),
                    str(one["method"]),
                    tuple(map(str, one["layers"])),
                    (int(one["resolution"][0]), int(one["resolution"][1])),
                    str(one["target"]),
                )
                for one in manifest["maps"]
            )
            return KeptExplanations(
                maps,
                index=torch.from_numpy(arrays["index"]),
                predictions=torch.from_numpy(arrays["predicted"]),
                labels=torch.from_numpy(arrays["label"]),
                values={one.key: torch.from_numpy(arrays[one.key]) for one in maps},
                peaks={one.key: torch.from_numpy(arrays[f"{one.key}.peak"]) for one in maps},
                selection=str(manifest.get("selection", "")),
            )
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(place, f"is damaged ({error})", _REMEDY) from error
