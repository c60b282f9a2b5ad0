"""Machines that could be looked at in whole, and in part."""

from rule_machines import machine

from envdoc.doctor.facts.snapshot import CollectorError

LATE = CollectorError("storage", "It did not finish within 60 s.")
BROKEN = CollectorError("packages", "RecursionError: maximum recursion depth exceeded")

FAILING = {"CFG110": [machine().but(errors=(LATE,)), machine().but(errors=(BROKEN, LATE))]}
PASSING = {"CFG110": [machine()]}
