"""One family of errors: what is wrong, with which file or value, and how to fix it, in one line."""


class VisionlibError(Exception):
    """Base of every error that visionlib raises on purpose; the text is a message for users.

    Args:
        what: the file, value or thing that is wrong.
        problem: what is wrong with it.
        remedy: how to fix it.
    """

    def __init__(self, what: object, problem: str, remedy: str) -> None:
        self.what, self.problem, self.remedy = str(what), problem, remedy
        super().__init__(" ".join(f"{what}: {problem}; {remedy}".split()))


class DataError(VisionlibError):
    """A dataset is absent, damaged, or of another format than its container says."""


class ModelError(VisionlibError):
    """A model is unknown, cannot be built, or does not fit the weights or the images."""


class ConfigError(VisionlibError):
    """A setting is out of range, unknown, or contradicts another one."""


class RunError(VisionlibError):
    """A run folder is absent, incomplete, damaged, or does not fit the request."""


class TrainingError(VisionlibError):
    """Training cannot continue: the loss is not finite, or the machine lacks a requirement."""
