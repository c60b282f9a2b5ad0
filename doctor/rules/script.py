"""Rules about the user's scripts (`check --script FILE`): is what was seen a fault with these versions?"""

from typing import Dict, List, Tuple

from envdoc.doctor.facts.snapshot import ScriptFile, Sighting, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import shorten, version_of
from envdoc.doctor.rules.registry import Problem, RuleFunction, Skip, rule
from envdoc.doctor.script.judgement import Fault, judge

CODES: Dict[str, str] = {
    "CFG121": "removed-import",
    "CFG122": "unknown-argument",
    "CFG123": "loading-argument",
    "CFG124": "renamed-argument",
    "CFG125": "compute-loss-signature",
    "CFG126": "state-dict-override",
    "CFG127": "save-model-override",
    "CFG128": "checkpointing-after-wrap",
    "CFG129": "pad-is-eos",
    "CFG130": "half-with-fp16",
    "CFG131": "device-map-under-ddp",
    "CFG132": "adapter-not-trainable",
    "CFG133": "merge-quantized",
    "CFG134": "variable-too-late",
    "CFG135": "torch-load-object",
    "CFG136": "torch-load-unguarded",
    "CFG137": "remote-code-unpinned",
    "CFG138": "target-modules",
    "CFG139": "single-target",
    "CFG140": "cuda-before-fork",
    "CFG141": "contradicting-arguments",
    "CFG142": "labels-missing",
    "CFG143": "labels-not-masked",
    "CFG144": "missing-package",
    "CFG145": "chat-template-return",
    "CFG146": "resume-override",
}
_SHOWN = 8  # places of one fault that are named
_LONGEST = 40  # characters of a name in a title


@rule("CFG120")
def script_cannot_be_read(machine: Snapshot) -> List[Problem]:
    """A script that is no Python, Python 2, or newer Python than envdoc's own."""
    return [
        Problem(
            {
                "file": shorten(_base(file), 36),
                "path": file.path,
                "reason": file.problem,
                "where": _unread(file),
            },
            evidence=(f"{file.path}, {_unread(file)}",),
            affects=(file.path,),
        )
        for file in _files(machine)
        if file.problem
    ]


def _rule_of(check: str) -> RuleFunction:
    def found(machine: Snapshot) -> List[Problem]:
        files = [file for file in _files(machine) if not file.problem]
        if not files:
            raise Skip("no script could be read, which CFG120 says")
        versions = installed(machine)
        problems = []
        for file in files:
            problems += [
                _problem(file, sightings, fault) for fault, sightings in _faults(file, check, versions)
            ]
        return problems

    found.__doc__ = f"The check `{check}` of doctor/script."
    return found


for _code, _check in CODES.items():
    rule(_code)(_rule_of(_check))


def installed(machine: Snapshot) -> Dict[str, str]:
    """The version of every installed distribution by its normalised name; empty where nothing is known of them."""
    if machine.interpreter.error:
        return {}
    versions = {package.name: package.version for package in reversed(machine.packages) if package.version}
    torch = version_of(machine, "torch")
    if torch:
        versions["torch"] = torch
    return versions


def _files(machine: Snapshot) -> Tuple[ScriptFile, ...]:
    if machine.script is None or not machine.script.files:
        raise Skip("no script was given (`--script FILE`)")
    return machine.script.files


def _faults(file: ScriptFile, check: str, versions: Dict[str, str]) -> List[Tuple[Fault, List[Sighting]]]:
    """Each fault once, with every place where it was seen."""
    by_subject: Dict[str, Tuple[Fault, List[Sighting]]] = {}
    for sighting in file.seen:
        if sighting.check != check:
            continue
        if sighting.subject in by_subject:
            by_subject[sighting.subject][1].append(sighting)
            continue
        fault = judge(check, sighting.subject, versions)
        if fault is not None:
            by_subject[sighting.subject] = (fault, [sighting])
    return list(by_subject.values())


def _problem(file: ScriptFile, sightings: List[Sighting], fault: Fault) -> Problem:
    first = sightings[0]
    more = f" and {len(sightings) - 1} more" if len(sightings) > 1 else ""
    values = {
        key: value if key in ("advice", "words") else shorten(value, 60)
        for key, value in fault.values.items()
    }
    for key in ("name", "function", "subject", "asked", "found", "model"):
        if key in values:
            values[key] = shorten(values[key], _LONGEST)
    values.update(file=shorten(_base(file), 24), path=file.path, place=place(first) + more)
    evidence = [f"{file.path}, {place(one)}: {one.text}" for one in sightings[:_SHOWN]]
    if len(sightings) > _SHOWN:
        evidence.append(f"and {len(sightings) - _SHOWN} more")
    return Problem(
        values,
        evidence=tuple(evidence),
        affects=(file.path,),
        severity=Severity(fault.severity) if fault.severity else None,
    )


def place(sighting: Sighting) -> str:
    """`line 12`, or `cell 3, line 2` of a notebook."""
    return f"cell {sighting.cell}, line {sighting.line}" if sighting.cell else f"line {sighting.line}"


def _unread(file: ScriptFile) -> str:
    if not file.problem_line:
        return "the whole file"
    return place(Sighting("", file.problem_line, file.problem_cell))


def _base(file: ScriptFile) -> str:
    return file.path.replace("\\", "/").rsplit("/", 1)[-1]
