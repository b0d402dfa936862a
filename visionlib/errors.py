"""One family of errors: what is wrong, with which file or value, and how to fix it, in one line."""

from collections.abc import Mapping

_NAMED = 10
"""Broken pictures that a message names."""


class VisionlibError(Exception):
    """Base of every error that visionlib raises on purpose; the text is a message for users.

    Args:
        what: the file, value or thing that is wrong.
        problem: what is wrong with it.
        remedy: how to fix it.
        is_usage: whether the user named it, so that a command is wrong, and not what it found; see `exit_code`.
    """

    def __init__(self, what: object, problem: str, remedy: str, *, is_usage: bool = False) -> None:
        self.exit_code = 2 if is_usage else 1
        self.what, self.problem, self.remedy = str(what), problem, remedy
        super().__init__(_escape(" ".join(f"{what}: {problem}; {remedy}".split())))


class VisionlibWarning(UserWarning):
    """Something that users should know, and that is no error; commands show it as one line."""


def _escape(text: str) -> str:
    """Write what would control a terminal, or hide in one, as an escape: names and values come from strangers, too."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class DataError(VisionlibError):
    """A dataset is absent, damaged, or of another format than its container says."""


class BrokenPicturesError(DataError):
    """Pictures that cannot be decoded, all of them in one message.

    Args:
        errors: the error of each one, by its position.
    """

    def __init__(self, errors: Mapping[int, DataError]) -> None:
        self.positions = sorted(errors)
        first, names = errors[self.positions[0]], [errors[at].what for at in self.positions]
        if len(names) == 1:
            super().__init__(first.what, first.problem, f"{first.remedy}, or leave it out (--skip-broken)")
            return
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        super().__init__(
            f"{len(names)} pictures",
            f"cannot be read: {', '.join(names[:_NAMED])}{more} (the first one {first.problem})",
            "replace or remove them, or leave them out (--skip-broken)",
        )


class ModelError(VisionlibError):
    """A model is unknown, cannot be built, or does not fit the weights or the images."""


class ConfigError(VisionlibError):
    """A setting is out of range, unknown, or contradicts another one."""

    def __init__(self, what: object, problem: str, remedy: str) -> None:
        super().__init__(what, problem, remedy, is_usage=True)


class RunError(VisionlibError):
    """A run folder is absent, incomplete, damaged, or does not fit the request."""


class TrainingError(VisionlibError):
    """Training cannot continue: the loss is not finite, or the machine lacks a requirement."""
