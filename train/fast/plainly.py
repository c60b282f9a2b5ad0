"""For a moment everything as peft and transformers compute it, though it is fused: to compare the two."""

from contextlib import contextmanager
from typing import Iterator

_on = False


@contextmanager
def plainly() -> Iterator[None]:
    """Within it no fused forward is used."""
    global _on
    before, _on = _on, True
    try:
        yield
    finally:
        _on = before


def is_wanted() -> bool:
    """Whether a fused layer should compute as if it were not."""
    return _on
