"""What bitsandbytes says when it is imported: it logs why its library did not load, and goes on."""

import contextlib
import io
import logging


def importing_bitsandbytes() -> str:
    """Everything that the import printed and logged, the error of a failed import included."""
    said = io.StringIO()
    logging.basicConfig(stream=said, level=logging.INFO, force=True)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            import bitsandbytes
            from bitsandbytes.cextension import lib

            assert bitsandbytes
            lib.cget_managed_ptr()
        except BaseException as error:
            said.write(f"\n{type(error).__name__}: {error}")
    return said.getvalue()


def line_with(said: str, *words: str) -> str:
    """The first line with one of the words, or nothing."""
    return next((line for line in said.splitlines() if any(word in line for word in words)), "")
