"""Commands that explain without looking at the machine: rules, explain."""

import contextlib
import json
from typing import Dict, List

import typer

from envdoc.doctor.commands.output import one_of, tell_broken_plugins, write
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.printable import printable


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command()(rules)
    app.command()(explain)


def rules(
    format: str = typer.Option("text", "--format", metavar="NAME", help="text or json."),
    known_issues: bool = typer.Option(
        False, "--advisories", help="The known issues of `envdoc why` instead."
    ),
) -> None:
    """List every rule, in groups."""
    from envdoc.doctor.report.model import group
    from envdoc.doctor.rules.registry import all_rules

    one_of("--format", format, ["text", "json"])
    if known_issues:
        _list_known_issues(format)
        return
    every = [rule.message for rule in all_rules()]
    tell_broken_plugins()
    if format == "json":
        keys = ("code", "name", "severity", "kind", "summary", "needs_new_environment", "safe")
        rows = [
            {**{key: getattr(message, key) for key in keys}, "group": group(message.code)}
            for message in every
        ]
        write(printable(json.dumps(rows, indent=2)) + "\n")
        return
    groups: Dict[str, List[str]] = {}
    for message in every:
        line = f"  {message.code}  {message.severity:7}  {message.summary}\n"
        groups.setdefault(group(message.code), []).append(line)
    write(printable("\n".join(f"{name}\n{''.join(lines)}" for name, lines in groups.items())))


def explain(code: str) -> None:
    """Print the page of a rule (DRV010), a known issue (adapter-stale-bin) or an idea (lora, int8, checkpointing)."""
    from difflib import get_close_matches

    from envdoc.doctor import concepts
    from envdoc.doctor.advisories import advisories
    from envdoc.doctor.advisories.page import page as advisory_page
    from envdoc.doctor.rules.page import page
    from envdoc.doctor.rules.registry import all_rules

    codes = [rule.code for rule in all_rules()]
    if code.upper() in codes:
        write(page(code.upper()))
        return
    known = {advisory.id: advisory for advisory in advisories()}
    if code.lower() in known:
        write(advisory_page(known[code.lower()]))
        return
    with contextlib.suppress(KeyError):
        write(printable(concepts.page(code)))
        return
    ideas = [*concepts.topics(), *concepts.ALIASES]
    near = get_close_matches(code.lower(), [*known, *ideas], 3) or get_close_matches(code.upper(), codes, 3)
    hint = f"Did you mean {', '.join(f'`{name}`' for name in near)}? " if near else ""
    raise EnvdocError(
        f"There is no rule, no known issue and no idea `{code}`.",
        f"{hint}`envdoc rules` lists the rules, `envdoc rules --advisories` the known issues; the ideas are "
        f"{', '.join(concepts.topics())}.",
    )


def _list_known_issues(format: str) -> None:
    from envdoc.doctor.advisories import advisories

    if format == "json":
        keys = ("id", "cause_class", "kind", "summary", "affected", "links", "reproducer", "unproved")
        rows = [{key: getattr(advisory, key) for key in keys} for advisory in advisories()]
        write(printable(json.dumps(rows, indent=2)) + "\n")
        return
    groups: Dict[str, List[str]] = {}
    for advisory in advisories():
        line = f"  {advisory.id:34}  {advisory.kind:7}  {advisory.summary}\n"
        groups.setdefault(advisory.cause_class, []).append(line)
    write(printable("\n".join(f"{name}\n{''.join(lines)}" for name, lines in sorted(groups.items()))))
