"""The verdict of a page: the main results of a run, in sentences."""

from collections.abc import Iterator

from visionlib.data.class_names import embed_name
from visionlib.evaluation.wording import interval, percent
from visionlib.inspection import Duplicates
from visionlib.report.contents import Contents
from visionlib.report.tables import sides
from visionlib.summary import ModelSummary

_CALIBRATED = 0.01
"""Largest difference of mean confidence and accuracy that counts as agreement."""


def write_verdict(contents: Contents) -> list[str]:
    """Write the baseline, the comparison, the worst class, the most confused pair, calibration, field and leaks."""
    return [
        *_describe_accuracy(contents),
        *_describe_worst_class(contents),
        *_describe_confusion(contents),
        *_describe_calibration(contents),
        *_describe_receptive_field(contents),
        *_describe_leaks(contents),
    ]


def _describe_accuracy(contents: Contents) -> Iterator[str]:
    evaluation = contents.evaluation
    if evaluation.accuracy is None:
        yield "There are no test images, so the accuracy is not known."
        return
    largest = max(evaluation.per_class, key=lambda score: score.n)
    yield (
        f"For comparison: always predicting {embed_name(largest.name)} would be correct on "
        f"{percent(largest.n / evaluation.n, 1)}."
    )
    if contents.comparison is not None:
        yield contents.comparison.describe(contents.comparison.pairs[0])


def _describe_worst_class(contents: Contents) -> Iterator[str]:
    known = [(score.accuracy, score) for score in contents.evaluation.per_class if score.accuracy is not None]
    if len(known) > 1:
        accuracy, worst = min(known, key=lambda pair: pair[0])
        yield (
            f"Worst class: {embed_name(worst.name)}, {percent(accuracy, 1)} of {worst.n:,} "
            f"({interval(worst.confidence_interval)})."
        )


def _describe_confusion(contents: Contents) -> Iterator[str]:
    for pair in contents.evaluation.confusion.find_confused_pairs(1):
        yield (
            f"Most confused: {embed_name(pair.true)} taken for {embed_name(pair.predicted)}, {pair.count:,} "
            f"of {pair.n:,} ({percent(pair.share, 1)})."
        )


def _describe_calibration(contents: Contents) -> Iterator[str]:
    calibration, accuracy = contents.evaluation.calibration, contents.evaluation.accuracy
    confidence = calibration.mean_confidence
    if confidence is None or accuracy is None:
        return
    gap = confidence - accuracy
    kind = "calibrated" if abs(gap) <= _CALIBRATED else "overconfident" if gap > 0 else "underconfident"
    yield (
        f"Mean confidence {percent(confidence, 1)}, accuracy {percent(accuracy, 1)}: {kind} "
        f"(calibration error {calibration.ece:.3f})."
    )


def _describe_receptive_field(contents: Contents) -> Iterator[str]:
    summary = contents.summary
    layer = summary.last_local if isinstance(summary, ModelSummary) else None
    if not isinstance(summary, ModelSummary) or layer is None or layer.receptive_field is None:
        return
    field, size = layer.receptive_field, summary.input_size[1:]
    if len(field) == len(size):
        is_covered = all(extent >= side for extent, side in zip(field, size, strict=True))
        part = "more than the image" if is_covered else "a part of the image"
        yield (
            f"{layer.name}, the last local layer, has a receptive field of {sides(field)} pixels: {part}, which is "
            f"{sides(size)}."
        )


def _describe_leaks(contents: Contents) -> Iterator[str]:
    if isinstance(contents.duplicates, Duplicates):
        count = contents.duplicates.count_images("test", "train")
        if count:
            yield f"{count:,} test images have a duplicate in the training split, which inflates the accuracy."
        else:
            yield "No duplicates of test images were found in the training split."
