"""The page of a rule as markdown: what `envdoc explain CODE` prints and `docs/rules/CODE.md` holds."""

import re
from typing import List

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.rules.messages import Message, messages
from envdoc.doctor.rules.plugins import plugins

WHOSE = {
    "host": "the host: its driver, disk, limits or variables",
    "library": "a library: its version, build or files",
    "data": "the data: files of a checkpoint or a data set",
    "script": "the script that is run",
}
SEVERITIES = {
    "error": "an error: it stops a training run",
    "warning": "a warning: it may stop one",
    "info": "for information",
}


def page(code: str) -> str:
    """The markdown page of a rule, made from its message alone, so that it is the same offline, in docs and here.

    Raises EnvdocError for a code that no rule has.
    """
    message = messages().get(code) or plugins().words.get(code)
    if message is None:
        raise EnvdocError(f"There is no rule `{code}`.", "`envdoc rules` lists them all.")
    sections = [
        f"# {message.code}: {message.name}",
        f"**{message.summary[0].upper()}{message.summary[1:]}.**",
        f"Where it fails this is {SEVERITIES[message.severity]}. The fault is of {WHOSE[message.kind]}.",
        "## How it shows",
        f"In the report, with what was found in place of the names in braces:\n\n> {message.title}",
        message.detail,
    ]
    if message.example:
        sections.append(f"As a program prints it:\n\n```text\n{message.example}\n```")
    if message.why:
        sections += ["## Why it matters", message.why]
    sections += ["## What to do", *_remedy(message)]
    if message.source:
        sections += ["## Where this comes from", message.source]
    if message.links:
        sections += ["## Links", "\n".join(f"- {_link(link)}" for link in message.links)]
    return "\n\n".join(sections) + "\n"


def _remedy(message: Message) -> List[str]:
    parts = []
    if message.remedy:
        commands = "\n".join(message.remedy)
        parts.append(f"```sh\n{commands}\n```")
    else:
        parts.append("The report names the commands that fit the machine, where there are any.")
    if message.needs_new_environment:
        parts.append(
            "`envdoc fix` prints what it would build and `envdoc fix --apply` builds it: a new environment beside "
            "the old one, from a lockfile, checked before it is switched to. `envdoc rollback` goes back."
        )
    elif message.safe:
        parts.append("envdoc may run this itself: it changes nothing outside its own folder.")
    else:
        parts.append(
            "envdoc prints such commands and never runs them: they change the machine or its settings, or want a "
            "judgement that is yours."
        )
    return parts


def _link(link: str) -> str:
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)#(\d+)", link)
    return f"[{link}](https://github.com/{match.group(1)}/issues/{match.group(2)})" if match else link
