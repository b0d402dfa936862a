"""What a run came to, in sentences; each figure is one of `evaluation.json` or of another record of the run."""

from collections.abc import Iterator, Sequence

from visionlib.data.class_names import embed_name
from visionlib.inspection import Duplicates
from visionlib.report.contents import Contents, Missing

_HONEST = 0.01
"""Mean confidence and accuracy that differ by no more than this are said to agree."""


def tell_verdict(contents: Contents) -> list[str]:
    """Tell what the accuracy compares with, worst class, most confused pair, calibration, sight, and leaks."""
    return [
        *_tell_accuracy(contents),
        *_tell_worst_class(contents),
        *_tell_confusion(contents),
        *_tell_calibration(contents),
        *_tell_sight(contents),
        *_tell_leaks(contents),
    ]


def percent(share: float | None, digits: int = 2) -> str:
    """Write a share; n/a where nothing is known."""
    return "n/a" if share is None else f"{share:.{digits}%}"


def span(interval: Sequence[float] | None) -> str:
    """Write an interval of shares."""
    return "n/a" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"


def _tell_accuracy(contents: Contents) -> Iterator[str]:
    figures = contents.evaluation
    if figures["accuracy"] is None:
        yield "There is no test image, so nothing is known of its accuracy."
        return
    largest = max(figures["per_class"], key=lambda entry: entry["n"])
    yield (
        f"For comparison: always answering {embed_name(largest['class'])} would be right on "
        f"{percent(largest['n'] / figures['n'], 1)}."
    )
    if contents.comparison is not None:
        yield contents.comparison.describe(contents.comparison.pairs[0])


def _tell_worst_class(contents: Contents) -> Iterator[str]:
    known = [entry for entry in contents.evaluation["per_class"] if entry["accuracy"] is not None]
    if len(known) > 1:
        worst = min(known, key=lambda entry: entry["accuracy"])
        yield (
            f"Worst class: {embed_name(worst['class'])}, {percent(worst['accuracy'], 1)} of {worst['n']:,} "
            f"({span(worst['confidence_interval'])})."
        )


def _tell_confusion(contents: Contents) -> Iterator[str]:
    pairs = contents.evaluation["confusion"]["most_confused"]
    if pairs:
        pair = pairs[0]
        yield (
            f"Most confused: {embed_name(pair['class'])} taken for {embed_name(pair['predicted'])}, {pair['count']:,} "
            f"of {pair['n']:,} ({percent(pair['share'], 1)})."
        )


def _tell_calibration(contents: Contents) -> Iterator[str]:
    figures = contents.evaluation
    told, accuracy = figures["calibration"]["mean_confidence"], figures["accuracy"]
    if told is None or accuracy is None:
        return
    kind = "which agrees" if abs(told - accuracy) <= _HONEST else "too much" if told > accuracy else "too little"
    yield (
        f"Claims {percent(told, 1)} on average and is right on {percent(accuracy, 1)}: {kind} "
        f"(calibration error {figures['calibration']['ece']:.3f})."
    )


def _tell_sight(contents: Contents) -> Iterator[str]:
    summary = contents.summary
    if isinstance(summary, Missing) or not summary.get("last_local"):
        return
    field, size = summary["last_local"]["receptive_field"], summary["input_size"][1:]
    if field is None or len(field) != len(size):
        return
    is_whole = all(sees >= side for sees, side in zip(field, size, strict=True))
    told = "the whole image and beyond it" if is_whole else "a part of the image"
    yield (
        f"{summary['last_local']['name']}, its last local layer, sees {_sides(field)} pixels around each position: "
        f"{told}, which is {_sides(size)}."
    )


def _tell_leaks(contents: Contents) -> Iterator[str]:
    found = contents.duplicates
    if not isinstance(found, Duplicates):
        return
    count = found.count_images("test", "train")
    if count:
        yield f"{count:,} test images have a duplicate among the training images, which flatters the accuracy."
    else:
        yield "No test image was found to have a duplicate among the training images."


def _sides(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))
