"""The verdict of a page: the main results of a run, as cards that link to their images, and in sentences."""

from collections.abc import Iterator
from dataclasses import dataclass

from visionlib.data.class_names import embed_name, tidy_name
from visionlib.evaluation.wording import interval, percent
from visionlib.inspection import Duplicates
from visionlib.report.contents import Contents
from visionlib.report.tables import sides
from visionlib.summary import ModelSummary

_CALIBRATED = 0.01
"""Largest difference of mean confidence and accuracy that counts as agreement."""


@dataclass(frozen=True)
class Card:
    """One main result.

    Attributes:
        name: of the card, in the page's markup.
        title: what was measured.
        value: the result.
        detail: its interval or its parts.
        view: the images that show it, as the fragment of the page's address; empty if there are none.
        link: description of these images.
        label: class that it is about, by position; -1 for no or several classes.
    """

    name: str
    title: str
    value: str
    detail: str
    view: str = ""
    link: str = ""
    label: int = -1


def make_cards(contents: Contents) -> tuple[Card, ...]:
    """Make the cards of accuracy, weakest class, most confused pair and calibration, as far as they are known."""
    return (
        *_show_accuracy(contents),
        *_show_weakest_class(contents),
        *_show_confusion(contents),
        *_show_calibration(contents),
    )


def _show_accuracy(contents: Contents) -> Iterator[Card]:
    evaluation = contents.evaluation
    wrong = int(evaluation.confusion.counts.sum() - evaluation.confusion.counts.diagonal().sum())
    detail = f"{interval(evaluation.confidence_interval)} (95 % interval), of {evaluation.n:,} test images"
    if not evaluation.is_balanced:
        detail += f"; balanced {percent(evaluation.balanced_accuracy)} ({interval(evaluation.balanced_interval)})"
    link = f"{wrong:,} mistakes" if wrong else ""
    yield Card("accuracy", "Accuracy", percent(evaluation.accuracy, 2), detail, "kind=wrong" if wrong else "", link)


def _show_weakest_class(contents: Contents) -> Iterator[Card]:
    scores = contents.evaluation.per_class
    known = [(score.accuracy, label) for label, score in enumerate(scores) if score.accuracy is not None]
    if len(known) > 1:
        accuracy, label = min(known)
        score = scores[label]
        detail = f"{percent(accuracy)} of {score.n:,} ({interval(score.confidence_interval)})"
        link = f"{score.n - score.correct:,} mistakes" if score.correct < score.n else ""
        view = f"true={label}&kind=wrong" if link else ""
        yield Card("weakest", "Weakest class", tidy_name(score.name), detail, view, link, label)


def _show_confusion(contents: Contents) -> Iterator[Card]:
    classes = list(contents.evaluation.confusion.classes)
    for pair in contents.evaluation.confusion.find_confused_pairs(1):
        value = f"{tidy_name(pair.true)} \N{RIGHTWARDS ARROW} {tidy_name(pair.predicted)}"
        detail = f"{percent(pair.share)} of {pair.n:,} taken for {embed_name(pair.predicted)}"
        view = f"true={classes.index(pair.true)}&predicted={classes.index(pair.predicted)}&kind=all"
        yield Card("confused", "Most confused pair", value, detail, view, f"{pair.count:,} images")


def _show_calibration(contents: Contents) -> Iterator[Card]:
    calibration, accuracy = contents.evaluation.calibration, contents.evaluation.accuracy
    confidence = calibration.mean_confidence
    if confidence is None or accuracy is None:
        return
    gap = confidence - accuracy
    is_under = gap < -_CALIBRATED
    value = "underconfident" if is_under else "overconfident" if gap > _CALIBRATED else "calibrated"
    detail = f"mean confidence {percent(confidence)}, calibration error {calibration.ece:.3f}"
    kind, link = ("hesitant", "correct, but unsure") if is_under else ("confident", "confident mistakes")
    yield Card("calibration", "Calibration", value, detail, f"kind={kind}", link)


def write_verdict(contents: Contents) -> list[str]:
    """Write the baseline, the comparison, the weakest group, the receptive field and leaks as sentences."""
    return [
        *_describe_accuracy(contents),
        *_describe_groups(contents),
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


def _describe_groups(contents: Contents) -> Iterator[str]:
    if contents.weak_groups:
        group = contents.weak_groups[0]
        yield (
            f"Weakest group of images within their classes: {group.description}, {percent(group.accuracy)} correct; "
            f"others of the same classes {percent(group.expected_accuracy)}."
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
