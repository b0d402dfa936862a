"""Mistakes as stored images, each with its true and predicted class and their probabilities."""

import torch
from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.data.class_names import CAPTION_PATH_LENGTH, embed_name, tidy_path
from visionlib.data.sources import name_sources
from visionlib.drawing.image_grid import draw_images
from visionlib.drawing.lettering import format_probability
from visionlib.errors import RunError
from visionlib.evaluation.mistakes import Mistakes
from visionlib.evaluation.votes.opinions import Opinions

_RANKED_BY = {
    "loss": "loss",
    "margin": "margin between predicted and true class",
    "confidence": "probability of the predicted class",
}


def draw_mistakes(
    mistakes: Mistakes,
    images: UInt8[Tensor, "n c h w"],
    *,
    count: int = 12,
    opinions: Opinions | None = None,
    columns: int = 6,
) -> Figure:
    """Draw the first confident mistakes, and below them the first of the others.

    Args:
        mistakes: ranked.
        images: all images of the predicted split, stored pixels.
        count: most images of either kind.
        opinions: human votes on these mistakes, as a third line under each image.
        columns: images in a row.
    Raises:
        RunError: if the number of images is not that of the predictions.
        ConfigError: if there are more than 1,000 images to draw.
    """
    if len(images) != mistakes.n:
        problem = f"there are {len(images):,} for {mistakes.n:,} that were scored"
        raise RunError("images", problem, "give the split that was predicted")
    ranks = [part.nonzero().flatten()[:count] for part in (mistakes.is_confident, ~mistakes.is_confident)]
    shown = mistakes.take(torch.cat(ranks))
    votes = None if opinions is None else opinions.take(torch.cat(ranks))
    confident = int(mistakes.is_confident.sum())
    descriptions = (
        f"confident and wrong: {confident:,} with a probability of at least {mistakes.confident_from:g}",
        f"the other mistakes: {len(mistakes) - confident:,}",
    )
    starts = (0, len(ranks[0]))
    headings = {start: line for start, line, part in zip(starts, descriptions, ranks, strict=True) if len(part)}
    order = f" Largest {_RANKED_BY[mistakes.ranked_by]} first." if len(mistakes) else ""
    captions = [_caption(shown, votes, rank) for rank in range(len(shown))]
    return draw_images(
        images[shown.positions.to(images.device)],
        captions,
        title=describe_mistakes(mistakes) + order,
        headings=headings,
        columns=columns,
    )


def describe_mistakes(mistakes: Mistakes) -> str:
    """Describe the mistakes in a sentence, as a title and a text alternative."""
    if not len(mistakes):
        return f"No mistake among {mistakes.n:,} images ({mistakes.logits} logits)."
    confident = int(mistakes.is_confident.sum())
    return (
        f"{len(mistakes):,} of {mistakes.n:,} images are predicted wrong ({mistakes.logits} logits), {confident:,} of "
        f"them with a probability of at least {mistakes.confident_from:g}."
    )


def _caption(shown: Mistakes, votes: Opinions | None, rank: int) -> str:
    predicted, label = (embed_name(shown.classes[int(part[rank])]) for part in (shown.predicted, shown.labels))
    lines = [
        f"said {predicted} {format_probability(float(shown.confidence[rank]))}",
        f"is {label} {format_probability(float(shown.true_probability[rank]))}",
    ]
    if votes is not None:
        lines.append(votes.describe(rank))
    (source,) = name_sources(shown.sources, shown.index[rank])
    if source is not None:
        lines.append(tidy_path(source, CAPTION_PATH_LENGTH))
    return "\n".join(lines)
