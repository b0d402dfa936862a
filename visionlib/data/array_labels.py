"""Labels in memory: integers, names, truth values or one-hot rows become positions in the class names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from visionlib.errors import DataError

Values = np.ndarray[Any, np.dtype[Any]]


def number_labels(
    parts: dict[str, object], classes: Sequence[str] | None
) -> tuple[list[Int64[Tensor, "_"]], tuple[str, ...]]:
    """Turn labels into positions, alike in all parts.

    Without `classes` the classes are the different labels of the first part, sorted, and their names are their text;
    those of one-hot rows are the columns. With `classes`, text is looked up there. Numbers are positions there or, if
    they are not and there are as many different ones as names, they stand for the names in sorted order.

    Args:
        parts: labels by the name of their argument, for messages; those of training first.
        classes: class names.
    Raises:
        DataError: if the labels are no integers, text, truth values or one-hot rows, or do not fit the classes.
    """
    read = {where: _read(where, labels) for where, labels in parts.items()}
    (first, (known, columns)), *others = read.items()
    for where, (values, count) in others:
        if (values.dtype.kind.replace("u", "i"), count) != (known.dtype.kind.replace("u", "i"), columns):
            raise DataError(where, f"are no labels of the kind of {first}", "pass both in one form")
    present = list(range(columns)) if columns else np.unique(known).tolist()
    if classes is None:
        keys, names = present, tuple(map(str, present))
    else:
        names = tuple(map(str, classes))
        keys = _match(first, present, names)
    position_of = {key: position for position, key in enumerate(keys)}
    labels = []
    for where, (values, _) in read.items():
        if strange := sorted(set(values.tolist()) - position_of.keys()):
            shown = ", ".join(map(repr, strange[:5]))
            what = "is none of the classes" if classes is not None else f"occurs in no label of {first}"
            raise DataError(where, f"{shown} {what}", "leave such images out, or name all classes with classes=")
        labels.append(torch.tensor([position_of[value] for value in values.tolist()], dtype=torch.int64))
    return labels, names


def _match(where: str, present: list[Any], names: tuple[str, ...]) -> list[Any]:
    """Return the label that each class name stands for."""
    if present and isinstance(present[0], str):
        return list(names)
    if all(0 <= value < len(names) for value in present):
        return list(range(len(names)))  # False and True are equal to 0 and 1
    if len(present) == len(names):
        return present
    raise DataError(
        where,
        f"hold {len(present)} different labels, from {present[0]} to {present[-1]}, for {len(names)} names in classes=",
        "number the labels from 0 in the order of the names, or leave classes= out",
    )


def _read(where: str, labels: object) -> tuple[Values, int]:
    """Return a label per image, and the number of columns of one-hot rows, else 0."""
    values = _as_array(where, labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2):
        raise DataError(where, f"have the shape {values.shape}", "pass one label per image")
    if values.dtype.kind == "f" and values.size:
        if not (np.isfinite(values).all() and (values == np.round(values)).all()):
            raise DataError(where, "hold fractions or NaN", "pass whole numbers or names: one class per image")
        values = values.astype(np.int64)
    if values.dtype.kind not in "iubU" and values.size:
        raise DataError(where, f"are of type {values.dtype}", "pass integers, names or truth values")
    return (values, 0) if values.ndim == 1 else _read_one_hot(where, values)


def _as_array(where: str, labels: object) -> Values:
    """Return labels as an array of one type."""
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu()
        labels = labels.float() if labels.dtype == torch.bfloat16 else labels
    try:
        values = np.asarray(labels)
        if values.dtype.kind == "O":
            kinds = {type(value) for value in values.flat}
            if len({issubclass(kind, str) for kind in kinds}) > 1 or type(None) in kinds:
                raise DataError(where, f"mix {', '.join(sorted(kind.__name__ for kind in kinds))}", "make them alike")
            values = np.array(values.tolist())
    except ValueError as error:  # rows of different lengths
        raise DataError(where, f"are no array ({error})", "pass one label per image") from error
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    return values.astype(np.str_) if values.dtype.kind == "T" else values


def _read_one_hot(where: str, values: Values) -> tuple[Values, int]:
    if values.dtype.kind == "U" or not (np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all()):
        raise DataError(
            where,
            f"have the shape {values.shape}, and not one 1 and else 0 in each row",
            "pass one label per image: one-hot rows are read, several or partial labels are not",
        )
    return values.argmax(1), values.shape[1]
