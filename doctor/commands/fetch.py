"""The command `fetch`: a wheelhouse for a machine without network."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Tuple

import typer

from envdoc.doctor.commands.output import announce
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.home import home

if TYPE_CHECKING:
    from envdoc.doctor.fix.fetch import Order


def register(app: typer.Typer) -> None:
    """Add this module's command to the application."""
    app.command()(fetch)


def fetch(
    profile: Optional[str] = typer.Option(
        None, "--profile", metavar="NAME", help="The lockfile; without it the one that fits this machine."
    ),
    to: Path = typer.Option(Path("wheelhouse"), "--to", metavar="DIR", help="The folder to fill."),
    python: Optional[str] = typer.Option(
        None, "--python", metavar="X.Y", help="The other machine's Python, such as 3.11."
    ),
    lock: Optional[Path] = typer.Option(
        None,
        "--lock",
        metavar="FILE",
        help="A lock of your own, with hashes, instead of a profile; by default ./envdoc.lock.txt, if there.",
    ),
) -> None:
    """Download every wheel of a profile, and envdoc itself, for `envdoc fix --apply --wheelhouse DIR` elsewhere."""
    from envdoc.doctor.fix.fetch import fetch as fill
    from envdoc.doctor.fix.user_lock import find_lock

    if lock is not None and profile is not None:
        raise EnvdocError("`--lock` and `--profile` name two locks.", "Give one of them.")
    if lock is None and profile is None and find_lock(None, Path()) is not None:
        lock, python = _of_this_project(python)
    order = _of_lock(lock, python) if lock is not None else _of_profile(profile, python)
    done = fill(order, to.expanduser().absolute(), Path(sys.executable), home(), announce)
    print(
        f"`{to}` holds the whole of `{order.name}` ({done.fetched_bytes / 1e6:.1f} MB downloaded in "
        f"{done.seconds:.0f} s). On the other machine: `envdoc fix --apply --wheelhouse DIR`; `{to}/README.txt` says "
        "how envdoc gets there."
    )


def _of_this_project(python: Optional[str]) -> Tuple[Path, str]:
    """./envdoc.lock.txt and the Python that it was proved with. Raises EnvdocError where another one was named."""
    from envdoc.doctor.fix.user_lock import FILE_NAME, read_user_lock

    found = read_user_lock(Path(FILE_NAME), home())
    announce(f"Fetching what `{found.path}` holds; `--profile NAME` passes it over.")
    if python is not None and _minor(python) != found.profile.python:
        raise EnvdocError(
            f"`{found.path}` is locked for Python {found.profile.python}, and `--python {python}` was asked for.",
            "Leave that out, or name a profile with `--profile NAME`.",
        )
    return found.path, found.profile.python


def _of_lock(lock: Path, python: Optional[str]) -> "Order":
    from envdoc.doctor.fix.fetch import Order
    from envdoc.doctor.fix.pins import Machine

    if not lock.is_file():
        raise EnvdocError(f"There is no lock at `{lock}`.")
    minor = _minor(python) if python is not None else f"{sys.version_info[0]}.{sys.version_info[1]}"
    return Order(
        lock.name[: -len(".txt")] if lock.name.endswith(".txt") else lock.name, Machine(minor), (lock,)
    )


def _of_profile(wanted: Optional[str], python: Optional[str]) -> "Order":
    from envdoc.doctor.facts.collect import collect_machine
    from envdoc.doctor.fix.choose import choose, require, way_out
    from envdoc.doctor.fix.fetch import order_of
    from envdoc.doctor.fix.profiles import load_profiles
    from envdoc.doctor.fix.pythons import Python, available_pythons

    profiles = load_profiles()
    if wanted is not None:
        require(wanted, profiles)
        chosen = next(profile for profile in profiles if profile.name == wanted)
        if python is not None and _minor(python) != chosen.python:
            raise EnvdocError(
                f"`{wanted}` is locked for Python {chosen.python}, and `--python {python}` was asked for.",
                "Leave one of them out; `envdoc profiles` lists those there are.",
            )
        return order_of(chosen)
    pythons = available_pythons()
    if python is not None:
        minor = _minor(python)
        profiles = tuple(profile for profile in profiles if profile.python == minor)
        if not profiles:
            raise EnvdocError(f"No profile is locked for Python {minor}.", "`envdoc profiles` lists them.")
        pythons = (Python(minor, f"python{minor}", minor),)  # the other machine's, which need not be here
    choice = choose(collect_machine(), pythons, profiles)
    if choice.profile is None:
        facts = "; ".join(f"{name}: {fact}" for name, fact in choice.rejected)
        raise EnvdocError(f"No profile fits this machine. {facts}.", way_out(choice))
    announce(
        f"`{choice.profile.name}` is chosen: it fits this machine. `--profile NAME` names another machine's."
    )
    return order_of(choice.profile)


def _minor(python: str) -> str:
    parts = python.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        raise EnvdocError(f"`--python {python}` is no version.", "Write it as in `--python 3.11`.")
    return ".".join(parts[:2])
