"""`envdoc profiles`: every lockfile, yes or no for this machine, and the one fact that excludes it."""

import json
import sys

import typer

from envdoc.doctor.commands.fix_plan import project_lock
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.home import home


def register(app: typer.Typer) -> None:
    """Add this module's command to the application."""
    app.command()(profiles)


def profiles(
    format: str = typer.Option("text", "--format", metavar="NAME", help="text or json."),
) -> None:
    """List the lockfiles: yes or no for this machine, and the one fact that excludes each."""
    from envdoc.doctor.facts.collect import collect_machine
    from envdoc.doctor.fix.choose import choose
    from envdoc.doctor.fix.present_profiles import profiles_json, profiles_text
    from envdoc.doctor.fix.profiles import load_profiles
    from envdoc.doctor.fix.pythons import available_pythons
    from envdoc.doctor.fix.room import free_bytes
    from envdoc.doctor.redact import redact, redact_value

    if format not in ("text", "json"):
        raise EnvdocError(f"`--format {format}` is none of text, json.")
    lock = project_lock(None)
    every = load_profiles() if lock is None else (lock.profile, *load_profiles())
    choice = choose(collect_machine(), available_pythons(), every, free_bytes(home()))
    if format == "json":
        sys.stdout.write(json.dumps(redact_value(profiles_json(every, choice)), indent=2) + "\n")
    else:
        sys.stdout.write(redact(profiles_text(every, choice)))
