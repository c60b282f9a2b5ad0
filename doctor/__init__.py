"""The doctor: looks at a machine from outside the environment it examines, and never imports torch."""

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from envdoc.doctor.notebook import Examination


def check(python: Optional[str] = None, quick: bool = False) -> "Examination":
    """What `envdoc check` says, for a notebook: the object returned shows itself, as HTML where that is possible.

    `python` is an interpreter or an environment; by default the one that this is called from. `quick` reads files
    only. Names and secrets are redacted. Raises EnvdocError where there is no such interpreter, or where a file of
    suppressions in the working directory is no valid one.
    """
    from envdoc.doctor.notebook import examination  # every start of envdoc imports this package

    return examination(python, quick)
