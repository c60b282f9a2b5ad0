"""The page of an advisory as markdown: what `envdoc explain ID` prints."""

import re
from typing import List, Optional

from envdoc.doctor.advisories import Advisory, Proof

WHOSE = {
    "host": "the host: its driver, disk, limits or variables",
    "library": "a library: its version, build or files",
    "data": "the data: files of a checkpoint, an adapter or a data set",
    "script": "the script that is run",
}
HOW = {"run": "run", "code": "read in the code", "thread": "told in a thread"}


def page(advisory: Advisory) -> str:
    """The markdown page, made from the advisory alone, so that it is the same offline and here."""
    sections = [
        f"# {advisory.id}",
        f"**{advisory.summary}.**",
        f"{advisory.cause} The fault is of {WHOSE[advisory.kind]}. `envdoc why` answers with the class "
        f"`{advisory.cause_class}`.",
        advisory.details,
        *_affected(advisory),
        *_shown(advisory),
        "## What to do",
        advisory.remedy.advice,
        *_commands(advisory),
        *_proved(advisory),
    ]
    if advisory.links:
        sections += ["## Links", "\n".join(f"- {_link(link)}" for link in advisory.links)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _affected(advisory: Advisory) -> List[str]:
    origin = dict(advisory.bounds)
    rows = [f"- `{name}{versions}`" + _told(origin.get(name)) for name, versions in advisory.affected]
    rows += [f"- `{condition}`" for condition in advisory.when.all]
    if advisory.when.any:
        rows.append("- one of " + ", ".join(f"`{condition}`" for condition in advisory.when.any))
    return ["## When it applies", "\n".join(rows)] if rows else []


def _told(origin: Optional[str]) -> str:
    return f": {origin}" if origin else ""


def _shown(advisory: Advisory) -> List[str]:
    """The patterns as they are written: who reads them here wants to know what `envdoc why` looks for."""
    rows = [f"{pattern.pattern}" for pattern in advisory.symptom]
    shared = [f"{pattern.pattern}" for pattern in advisory.weak_symptom]
    parts = []
    if rows:
        parts += ["## How it shows in a log", "Lines of its own, as patterns:", _block(rows)]
    if shared:
        parts += [
            "" if rows else "## How it shows in a log",
            "Lines that other causes share:",
            _block(shared),
        ]
    return parts


def _block(lines: List[str]) -> str:
    text = "\n".join(lines).replace(r"\s+", " ")
    return f"```text\n{text}\n```"


def _commands(advisory: Advisory) -> List[str]:
    commands = advisory.remedy.commands
    if not commands:
        return []
    safe = "envdoc may run this itself." if advisory.remedy.safe else "envdoc prints this and never runs it."
    return ["```sh\n" + "\n".join(commands) + "\n```", safe]


def _proved(advisory: Advisory) -> List[str]:
    rows = [
        f"- {HOW.get(seen.how, seen.how)}, {seen.date}: {seen.versions}: {seen.verdict}"
        for seen in advisory.evidence
    ]
    rows += [_run(proof) for proof in advisory.proof]
    if advisory.unproved:
        rows.append(f"- It has no reproducer: {advisory.unproved.rstrip('.')}.")
    return ["## How it is known", "\n".join(rows)] if rows else []


def _run(proof: Proof) -> str:
    packages = ", ".join(proof.packages[:3]) + (" and what it needs" if len(proof.packages) > 3 else "")
    outcome = "fails" if proof.fails else "passes"
    return f"- `scripts/verify-advisories`: it {outcome} with {packages or 'the newest releases'}."


def _link(link: str) -> str:
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)#(\d+)", link)
    return f"[{link}](https://github.com/{match.group(1)}/issues/{match.group(2)})" if match else link
