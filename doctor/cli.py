"""The command line: parse, call, print, exit code. No judgement lives here.

Exit codes: 0 clean, 1 findings at or above `--fail-on`, 2 misuse or a failure of envdoc itself, 130 Ctrl-C.
The report goes to standard output, everything else to standard error.
"""

import errno
import os
import sys
from typing import List, Optional

import typer

from envdoc.doctor.commands import (
    after,
    check,
    data,
    environment,
    estimate,
    explain,
    fetch,
    fix,
    generations,
    lock,
    profiles,
    train,
    why,
)
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.version import envdoc_version

app = typer.Typer(
    help="Says whether an LLM fine-tune will run here and why not, builds an environment in which it does, trains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for room in (
    check,
    explain,
    why,
    fix,
    lock,
    fetch,
    profiles,
    generations,
    estimate,
    train,
    after,
    data,
    environment,
):
    room.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"envdoc {envdoc_version()}")
        raise typer.Exit()


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Say it."),
) -> None:
    """Options of envdoc itself."""


def main(arguments: Optional[List[str]] = None) -> None:
    """The console command. Every error ends as one sentence, a hint and an exit code; never as a traceback."""
    sys.exit(run(arguments))


def run(arguments: Optional[List[str]] = None) -> int:
    """Run one command line and return its exit code."""
    try:
        result = app(args=arguments, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except EnvdocError as error:
        return _fail(error.message, error.hint)
    except (KeyboardInterrupt, typer.Abort):
        from envdoc.doctor.commands.output import announce

        announce("Stopped. Nothing was changed that is not told above.")
        return 130
    except typer.Exit as done:
        return done.exit_code
    except BrokenPipeError:  # `envdoc check | head`: the reader has what it wanted
        _drop_output()
        return 0
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _drop_output()
            return _fail(
                "There is no space left where the output goes or where envdoc writes; nothing was switched.",
                "Free some space and run the command again.",
            )
        return _crashed(error)
    except Exception as error:
        if hasattr(error, "format_message"):  # click's errors; typer may carry its own copy of click
            context = getattr(error, "ctx", None)
            help_line = f"See `{context.command_path} --help`." if context else None
            return _fail(error.format_message(), help_line)
        return _crashed(error)


def _drop_output() -> None:
    """What is still buffered goes nowhere, or Python would complain of it when it ends."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, hint: Optional[str] = None) -> int:
    from envdoc.doctor.commands.output import announce

    announce(f"error: {message}")
    if hint:
        announce(f"hint: {hint}")
    return 2


def _crashed(error: BaseException) -> int:
    if os.environ.get("ENVDOC_DEBUG"):
        raise error
    return _fail(
        f"envdoc itself failed: {type(error).__name__}: {error}.",
        "Run it again with ENVDOC_DEBUG=1 for the traceback, and please report it.",
    )
