"""`explain_images`: the maps of images by one method, and the predictions that they explain."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.errors import ConfigError
from visionlib.explanation.explanation import Explanation
from visionlib.explanation.methods import DEFAULT_METHOD, make_map_maker
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.trained_model import TrainedModel
from visionlib.progress import progress_bar


def explain_images(
    model: TrainedModel,
    images: UInt8[Tensor, "n c h w"],
    labels: Int64[Tensor, "n"] | None = None,
    index: Int64[Tensor, "n"] | None = None,
    *,
    method: str = DEFAULT_METHOD,
    layers: Sequence[str] | None = None,
    target: str | int = "predicted",
    batch_size: int = 100,
) -> Explanation:
    """Explain every image by one method.

    Args:
        model: the network and its preprocessing.
        images: pixels as stored.
        labels: true classes, if they are known.
        index: stable image ids; by default the positions.
        method: as in `explain`.
        layers: as in `explain`.
        target: as in `explain`.
        batch_size: images per forward and backward pass.
    Raises:
        VisionlibError: as `explain`.
    """
    if batch_size < 1:
        raise ConfigError("batch_size", f"{batch_size} is out of range", "it must be at least 1")
    with compute_environment(choose_compute(str(model.device), model.precision)):
        logits = model.predict(images).logits.cpu()
        predictions = logits.argmax(1)
        names = model.classes or tuple(map(str, range(logits.shape[1])))
        classes, target_name = _choose_classes(target, predictions, labels, names)
        input_size = model.input_size(images)
        maker = make_map_maker(method, model.network, input_size, layers=layers, precision=model.precision)
        maps = []
        with progress_bar(f"explaining by {method}", len(images), "images") as advance:
            for chunk, explained in zip(torch.split(images, batch_size), torch.split(classes, batch_size), strict=True):
                if len(chunk):
                    maps.append(maker(model.network, model.prepare(chunk), explained.to(model.device)).cpu())
                    advance(sum(map(len, maps)))
    return Explanation(
        maps=torch.cat(maps) if maps else torch.zeros(0, 1, 1),
        method=method,
        layers=tuple(layer.name for layer in maker.layers),
        target=target_name,
        classes=classes,
        probabilities=logits.softmax(1).gather(1, classes[:, None])[:, 0],
        predictions=predictions,
        labels=None if labels is None else labels.cpu(),
        index=torch.arange(len(images)) if index is None else index.cpu(),
        images=images.cpu(),
        class_names=names,
        input_size=input_size[1:],
    )


def _choose_classes(
    target: str | int, predictions: Int64[Tensor, "n"], labels: Int64[Tensor, "n"] | None, names: tuple[str, ...]
) -> tuple[Int64[Tensor, "n"], str]:
    """Return the class to explain for each image, and the name of the target."""
    if target == "predicted":
        return predictions, "predicted"
    if target == "true":
        if labels is None:
            raise ConfigError("target", "the true classes are not known", "give a split, or explain `predicted`")
        return labels.cpu(), "true"
    number = target if isinstance(target, int) else names.index(target) if target in names else None
    if number is None or not 0 <= number < len(names):
        raise ConfigError(f"target {target}", "there is no such class", f"known are: {', '.join(names)}")
    return torch.full_like(predictions, number), names[number]
