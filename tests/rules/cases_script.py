"""For each rule about a script: machines with a script that fails it, and with one that passes."""

import ast
import sys
from pathlib import Path

from rule_machines import machine, package

from envdoc.doctor.facts.snapshot import Script, ScriptFile, TorchBuild
from envdoc.doctor.rules.script import CODES
from envdoc.doctor.script.look import look_at_source
from envdoc.doctor.script.reader import Source

sys.path.insert(0, str(Path(__file__).parents[1] / "script"))
import script_cases

assert ast


def with_script(text, versions):
    """The healthy machine with these packages and that script."""
    file = look_at_source(Source("/nowhere/train.py", text, text.encode()))
    return machine().but(
        packages=tuple(package(name, version) for name, version in versions.items()),
        torch=TorchBuild(versions["torch"]),
        script=Script((file,), tuple(sorted({one.check for one in file.seen}))),
    )


def unread(**fields):
    return machine().but(script=Script((ScriptFile("/nowhere/train.py", **fields),)))


FAILING = {
    "CFG120": [
        unread(problem="it is written for Python 2", problem_line=3),
        unread(problem="it holds a NUL byte and is no text", is_notebook=True),
    ],
    **{code: [with_script(*case) for case in script_cases.FAULTY[check]] for code, check in CODES.items()},
}
PASSING = {
    "CFG120": [unread()],
    **{code: [with_script(*case) for case in script_cases.SOUND[check]] for code, check in CODES.items()},
}
SKIPPED = {code: [machine()] for code in ["CFG120", *CODES]}
