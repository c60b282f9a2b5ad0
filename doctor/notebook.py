"""`envdoc check` as an object: in a Jupyter cell it shows itself as HTML, elsewhere as text."""

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Tuple

from envdoc.doctor.examine import examine, look
from envdoc.doctor.finding import Check, Target
from envdoc.doctor.home import home
from envdoc.doctor.report import html_page, renderer
from envdoc.doctor.report.model import Report
from envdoc.doctor.rules.registry import all_rules
from envdoc.doctor.suppressions import load
from envdoc.doctor.target import choose_target


@dataclass(frozen=True, repr=False)
class Examination:
    """One examination. `report` holds all of it; `checks` and `failures` (worst first) are what most ask for."""

    report: Report

    @property
    def checks(self) -> Tuple[Check, ...]:
        """Every check, in the order of its code."""
        return self.report.checks

    @property
    def failures(self) -> Tuple[Check, ...]:
        """The findings, worst first."""
        return self.report.failures

    def render(self, format: str = "text") -> str:
        """The report in a format of `envdoc check --format`. Raises KeyError on a name unknown."""
        return renderer(format)(self.report)

    def __repr__(self) -> str:
        return self.render("text").rstrip("\n")

    def _repr_html_(self) -> str:
        return html_page.fragment(self.report)

    def _repr_markdown_(self) -> str:
        return self.render("markdown")


def examination(python: Optional[str] = None, quick: bool = False) -> Examination:
    """Examine that interpreter, or else the one that this runs in. Raises EnvdocError as `envdoc check` does."""
    started = time.perf_counter()
    accepted = load(Path(), {rule.code for rule in all_rules()})
    if python is None:
        target = Target(sys.executable, "the interpreter that this runs in")
    else:
        target = replace(choose_target(str(python), os.environ, home()), reason="named in the call")
    return Examination(examine(look(target, quick), target, started, suppressions=accepted))
