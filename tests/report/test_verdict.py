"""The verdict agrees with the records of the run."""

from tests.report.conftest import Written
from visionlib.report.contents import read_contents
from visionlib.report.verdict import write_verdict


def test_every_sentence_is_of_a_record(written: Written) -> None:
    other = written.run.path.parent / "second"
    from visionlib.runs import open_run

    contents = read_contents(written.run, dataset=written.data, against=open_run(other))
    sentences = write_verdict(contents)
    figures = written.evaluation
    worst = min(figures["per_class"], key=lambda entry: entry["accuracy"])
    pair = figures["confusion"]["most_confused"][0]
    assert sentences[0] == "For comparison: always predicting circle would be correct on 10.0%."
    assert "McNemar" in sentences[1]
    assert sentences[2].startswith(f"Worst class: {worst['class']}, {worst['accuracy']:.1%} of {worst['n']} (")
    assert sentences[3].startswith(
        f"Most confused: {pair['class']} taken for {pair['predicted']}, {pair['count']} of {pair['n']}"
    )
    mean = figures["calibration"]["mean_confidence"]
    kind = "overconfident" if mean > figures["accuracy"] else "underconfident"
    assert sentences[4].startswith(f"Mean confidence {mean:.1%}, accuracy {figures['accuracy']:.1%}: {kind}")
    assert sentences[5] == (
        "layer3.2.relu2, the last local layer, has a receptive field of 81 x 81 pixels: more than the image, which is "
        "32 x 32."
    )
    assert sentences[6] == "3 test images have a duplicate in the training split, which inflates the accuracy."
    assert len(sentences) == 7


def test_missing_parts_have_no_sentence(bare: Written) -> None:
    sentences = write_verdict(read_contents(bare.run, dataset=bare.data))
    assert len(sentences) == 4
    assert not [sentence for sentence in sentences if "duplicate" in sentence or "pixels" in sentence]
