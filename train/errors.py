"""The errors that reach the user as one sentence and a hint, and the exit code of each.

TrainError                  2
├── ConfigError             2  the run file, a `key=value` or an option is wrong
├── DataError               2  the training rows are missing or unfit
├── ModelError              2  the base model cannot be loaded or trained as asked
├── SaveError               2  the disk refused a file; what was saved before is whole
├── ResumeError             2  there is no checkpoint to go on from, or it belongs to another run
├── AdapterError            2  there is no adapter that could be judged
├── Diverged                1  the loss, a gradient or a weight is no longer sound
└── Interrupted           130  Ctrl-C (143 for SIGTERM); what is whole was saved
"""

from typing import Optional


class TrainError(Exception):
    """A failure with one clear sentence and, where there is one, what mends it."""

    exit_code = 2

    def __init__(self, message: str, hint: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(TrainError):
    """The run file, an override or an option is wrong."""


class DataError(TrainError):
    """The training rows are missing or unfit; a row is named by its number."""


class ModelError(TrainError):
    """The base model cannot be loaded, or cannot be trained as asked."""


class SaveError(TrainError):
    """A file could not be written; what was saved before is whole."""


class ResumeError(TrainError):
    """There is no whole checkpoint, or the run that made it differs from this one."""


class AdapterError(TrainError):
    """The folder holds no adapter that could be judged, or its base model is gone."""


class Diverged(TrainError):
    """The loss, a gradient or a weight is not finite, or the run is lost."""

    exit_code = 1


class Interrupted(TrainError):
    """A signal asked the run to stop; what is whole was saved."""

    exit_code = 130

    def __init__(self, message: str, hint: Optional[str] = None, exit_code: int = 130) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


def first_line(error: BaseException) -> str:
    """A library's own reason as one sentence, for ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith(".") else f"{text}."
