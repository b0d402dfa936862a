from pathlib import Path

from visionlib.errors import DataError, VisionlibError


def test_an_error_is_one_line_with_what_where_and_how_to_fix_it() -> None:
    error = DataError(Path("set/train"), "holds\n no image", "add some")
    assert str(error) == "set/train: holds no image; add some"
    assert (error.what, error.remedy) == ("set/train", "add some")
    assert isinstance(error, VisionlibError)
