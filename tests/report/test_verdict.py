"""The verdict agrees with the records of the run."""

from dataclasses import replace

from tests.evaluation.test_cells import two_classes
from tests.report.conftest import Written
from visionlib.report.contents import read_contents
from visionlib.report.verdict import make_cards, write_verdict
from visionlib.runs import open_run


def test_every_sentence_is_of_a_record(written: Written) -> None:
    other = open_run(written.run.path.parent / "second")
    sentences = write_verdict(read_contents(written.run, dataset=written.data, against=other))
    assert sentences[0] == "For comparison: always predicting circle would be correct on 10.0 %."
    assert "McNemar" in sentences[1]
    assert sentences[2] == (
        "Weakest group of images within their classes: dark, circle, 25.0 % correct; others of the same classes 80.0 %."
    )
    assert sentences[3] == (
        "layer3.2.relu2, the last local layer, has a receptive field of 81 x 81 pixels: more than the image, which is "
        "32 x 32."
    )
    assert sentences[4:] == ["3 test images have a duplicate in the training split, which inflates the accuracy."]


def test_every_card_is_of_a_record_and_links_to_its_images(written: Written) -> None:
    figures, classes = written.evaluation, list(written.data.classes)
    accuracy, weakest, confused, calibration = make_cards(read_contents(written.run, dataset=written.data))
    low, high = (f"{100 * limit:.1f} %" for limit in figures["confidence_interval"])
    assert accuracy.value == f"{100 * figures['accuracy']:.2f} %"
    assert accuracy.detail == f"{low} to {high} (95 % interval), of {figures['n']} test images"
    assert (accuracy.link, accuracy.view) == (f"{figures['n'] - figures['correct']} mistakes", "kind=wrong")
    worst = min(figures["per_class"], key=lambda entry: entry["accuracy"])
    assert weakest.value == worst["class"]
    assert weakest.detail.startswith(f"{100 * worst['accuracy']:.1f} % of {worst['n']} (")
    assert weakest.view == f"true={classes.index(worst['class'])}&kind=wrong"
    assert weakest.label == classes.index(worst["class"])
    pair = figures["confusion"]["most_confused"][0]
    assert confused.value == f"{pair['class']} \N{RIGHTWARDS ARROW} {pair['predicted']}"
    assert confused.detail == f"{100 * pair['share']:.1f} % of {pair['n']} taken for {pair['predicted']}"
    assert confused.link == f"{pair['count']} images"
    places = classes.index(pair["class"]), classes.index(pair["predicted"])
    assert confused.view == f"true={places[0]}&predicted={places[1]}&kind=all"
    is_over = figures["calibration"]["mean_confidence"] > figures["accuracy"]
    assert calibration.value == ("overconfident" if is_over else "underconfident")
    assert calibration.view == ("kind=confident" if is_over else "kind=hesitant")


def test_missing_parts_have_no_sentence(bare: Written) -> None:
    contents = read_contents(bare.run, dataset=bare.data)
    assert len(write_verdict(contents)) == 1
    assert len(make_cards(contents)) == 4


def test_classes_of_different_size_have_their_balanced_accuracy_on_the_card(bare: Written) -> None:
    contents = read_contents(bare.run, dataset=bare.data)
    assert "balanced" not in make_cards(contents)[0].detail  # ten classes of one size
    evaluation = two_classes((0, 8), (90, 10))  # 2 of 10 of the small class are right
    detail = make_cards(replace(contents, evaluation=evaluation))[0].detail
    low, high = evaluation.balanced_interval or (0, 0)
    assert detail.endswith(f"of 100 test images; balanced 60.0 % ({100 * low:.1f} % to {100 * high:.1f} %)")
