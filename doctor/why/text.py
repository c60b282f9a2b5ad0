"""The answer for a terminal: each cause, what shows it, what to do; a guess is called one."""

from typing import Any, List, Mapping, Sequence

NOTHING = (
    "No known cause fits this log. `envdoc check` looks at the machine itself; "
    "`envdoc report` makes a block for an issue.\n"
)


def why_text(found: Mapping[str, Any]) -> str:
    """The document of `envdoc why` as text."""
    causes: Sequence[Mapping[str, Any]] = found["causes"]
    lines: List[str] = []
    if found.get("error"):
        lines.append(f"The error that decides: {found['error']}")
    if found.get("facts_from"):
        lines.append(f"Facts: {found['facts_from']}.")
    if not causes:
        return "\n".join([*lines, NOTHING])
    if causes[0].get("is_guess"):
        lines.append("Nothing in the log names a cause for certain; what follows is a guess.")
    if lines:
        lines.append("")
    for number, cause in enumerate(causes, 1):
        guess = "a guess, " if cause.get("is_guess") else ""
        lines.append(f"{number}. {cause['title']} ({guess}{cause['confidence']:.0%}, {cause['cause_class']})")
        if cause.get("cause"):
            lines.append(f"   why:  {cause['cause']}")
        lines += [f"   seen: {line}" for line in cause["evidence"]]
        lines += [f"   do:   {step}" for step in cause["remedy"][:1]]
        lines += [f"         $ {step}" for step in cause["remedy"][1:]]
        lines.append(f"   see:  {', '.join([*cause['links'], '`envdoc explain ' + cause['code'] + '`'])}")
        lines.append("")
    return "\n".join(lines)
