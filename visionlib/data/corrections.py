"""`Corrections`: training images that are left out, or get another label, before a training sees them."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass

import torch

from visionlib.data.class_names import embed_name
from visionlib.data.dataset import Dataset
from visionlib.errors import DataError


@dataclass(frozen=True)
class Corrections:
    """Training images to leave out or to relabel, by their stable ids in ascending order.

    Attributes:
        left_out: ids of images that are not learned from.
        relabelled: id and name of the new class of each image that gets another label.
    """

    left_out: tuple[int, ...] = ()
    relabelled: tuple[tuple[int, str], ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of the list; the same images and labels have the same, whatever file they came from."""
        return hashlib.sha256(json.dumps([self.left_out, self.relabelled]).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{len(self.left_out):,} training images left out, {len(self.relabelled):,} relabelled"

    def apply(self, dataset: Dataset) -> Dataset:
        """Return the dataset with the corrected training split; its content hash is that of what is learned from.

        Raises:
            DataError: if an image is not in the training split, a class is unknown, or a class loses its last image.
        """
        train = dataset.train
        positions = {image_id: position for position, image_id in enumerate(train.index.tolist())}
        for image_id in (*self.left_out, *(image_id for image_id, _ in self.relabelled)):
            if image_id not in positions:
                raise DataError(
                    f"image {image_id}", f"is not in the training split of {dataset.name}", "name training images"
                )
        labels = train.labels.clone()
        for image_id, name in self.relabelled:
            if name not in train.classes:
                raise DataError(repr(name), f"is no class of {dataset.name}", f"it has: {', '.join(train.classes)}")
            labels[positions[image_id]] = train.classes.index(name)
        is_kept = torch.ones(len(train), dtype=torch.bool)
        is_kept[[positions[image_id] for image_id in self.left_out]] = False
        corrected = dataclasses.replace(train, labels=labels).subset(is_kept.nonzero().flatten())
        for name, before in train.per_class.items():
            if before and not corrected.per_class[name]:
                problem = f"none of its {before:,} training images would be left"
                raise DataError(f"class {embed_name(name)}", problem, "keep some of them")
        return dataclasses.replace(dataset, splits={**dataset.splits, "train": corrected})
