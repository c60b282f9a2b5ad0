"""The errors that reach the user as one sentence and a hint.

EnvdocError                 misuse, or something envdoc itself could not do; exit code 2
├── TargetError             the target interpreter is missing or does not run
├── SnapshotError           a snapshot file cannot be read
└── FixError                the plan cannot be carried out; nothing was switched
"""

from typing import Optional


class EnvdocError(Exception):
    """A failure with one clear sentence and, where there is one, the command that mends it."""

    def __init__(self, message: str, hint: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TargetError(EnvdocError):
    """The target interpreter is missing, is no Python, or does not run."""


class SnapshotError(EnvdocError):
    """A snapshot file is missing, is not JSON, or has a shape that this envdoc cannot read."""


class FixError(EnvdocError):
    """A plan cannot be carried out; the current generation is as it was."""
