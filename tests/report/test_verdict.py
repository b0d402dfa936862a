"""The verdict says what the records say."""

from tests.report.conftest import Written
from visionlib.report.contents import read_contents
from visionlib.report.verdict import tell_verdict


def test_every_sentence_is_of_a_record(written: Written) -> None:
    other = written.run.path.parent / "second"
    from visionlib.runs import open_run

    contents = read_contents(written.run, dataset=written.data, against=open_run(other))
    told = tell_verdict(contents)
    figures = written.evaluation
    worst = min(figures["per_class"], key=lambda entry: entry["accuracy"])
    pair = figures["confusion"]["most_confused"][0]
    assert told[0] == "For comparison: always answering circle would be right on 10.0%."
    assert "McNemar" in told[1]
    assert told[2].startswith(f"Worst class: {worst['class']}, {worst['accuracy']:.1%} of {worst['n']} (")
    assert told[3].startswith(
        f"Most confused: {pair['class']} taken for {pair['predicted']}, {pair['count']} of {pair['n']}"
    )
    mean = figures["calibration"]["mean_confidence"]
    kind = "too much" if mean > figures["accuracy"] else "too little"
    assert told[4].startswith(f"Claims {mean:.1%} on average and is right on {figures['accuracy']:.1%}: {kind}")
    assert told[5] == (
        "layer3.2.relu2, its last local layer, sees 81 x 81 pixels around each position: the whole image and beyond "
        "it, which is 32 x 32."
    )
    assert told[6] == "3 test images have a duplicate among the training images, which flatters the accuracy."
    assert len(told) == 7


def test_what_is_not_known_is_not_told(bare: Written) -> None:
    told = tell_verdict(read_contents(bare.run, dataset=bare.data))
    assert len(told) == 4
    assert not [sentence for sentence in told if "duplicate" in sentence or "pixels" in sentence]
