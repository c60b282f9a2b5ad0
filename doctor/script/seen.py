"""What a check yields: its name, the node where it saw something, and what that is about."""

import ast
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """One sighting, still with its node, which the snapshot does not keep and `repair` edits."""

    check: str
    node: ast.AST
    subject: str = ""

    @property
    def line(self) -> int:
        """The line in the joined text, counted from 1."""
        return getattr(self.node, "lineno", 0)
