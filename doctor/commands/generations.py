"""Commands about what `fix` has built: rollback, generations, gc."""

import sys

import typer

from envdoc.doctor.commands.output import announce
from envdoc.doctor.home import current_problem, home


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command()(rollback)
    app.command()(generations)
    app.command()(gc)


def rollback() -> None:
    """Go back to the generation that was in use before; from the first one, to none."""
    from envdoc.doctor.commands.kernel import follow_kernel
    from envdoc.doctor.fix.generations import Generations

    now = Generations(home()).rollback()
    follow_kernel(home(), now, announce)
    if now is None:
        print(
            "No generation is in use now; the last one is kept, and `envdoc fix --apply` takes it up again."
        )
    else:
        print(f"Back to `{now.name}`.")


def generations() -> None:
    """List the environments that `fix` has built."""
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.present import generations_text

    sys.stdout.write(generations_text(Generations(home()).list()))
    problem = current_problem(home())
    if problem:
        announce(f"warning: {problem} `envdoc fix --apply` builds one anew.")


def gc(
    keep: int = typer.Option(2, "--keep", metavar="N", min=1, help="How many of those used last to keep."),
) -> None:
    """Remove generations that are no longer used, and what an interrupted build left."""
    from envdoc.doctor.commands.kernel import follow_kernel
    from envdoc.doctor.fix.delivery import clear, kept_bytes
    from envdoc.doctor.fix.generations import Generations

    every = Generations(home())
    gone = every.remove_unused(keep)
    follow_kernel(home(), every.current(), announce)
    for generation in gone:
        print(f"Removed `{generation.name}`.")
    freed = 0
    if kept_bytes(home()):
        with Generations(home()).locked():
            freed = clear(home())
        print(f"Removed {freed / 1e6:.1f} MB of wheels, which an interrupted download had left.")
    if not gone and not freed:
        print("Nothing to remove.")
