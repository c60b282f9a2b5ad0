"""`envdoc data`: handed off to the pipeline, in an interpreter that has what the file needs."""

import os
import sys
from pathlib import Path
from typing import List, Optional

import typer

from envdoc.doctor.commands.check import PYTHON
from envdoc.doctor.commands.in_place import use_settings
from envdoc.doctor.commands.output import one_of
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.home import home
from envdoc.doctor.target import choose_target

# All else is read by Python's own library (train/readers): any interpreter will do, and ours is known to run.
NEED_LIBRARIES = (".yaml", ".yml", ".parquet")


def register(app: typer.Typer) -> None:
    """Add this module's command to the application."""
    app.command()(data)


def data(
    words: List[str] = typer.Argument(
        ..., metavar="FILE|RUN.yaml [key=value ...]", help="The rows, or a run file that names them."
    ),
    model: Optional[Path] = typer.Option(
        None, "--model", metavar="DIR", help="Count tokens with the tokenizer of this model."
    ),
    python: Optional[str] = PYTHON,
    format: str = typer.Option("text", "--format", metavar="NAME", help="text or json."),
) -> None:
    """Say whether a data set is fit to train on: lengths, duplicates, cut or empty answers, damage, languages."""
    one_of("--format", format, ["text", "json"])
    file, overrides = _split(words)
    from envdoc.doctor.handoff import launch

    arguments = ["data", file, "--format", format]
    arguments += ["--model", str(model)] if model else []
    raise typer.Exit(launch(_interpreter(file, model, overrides, python), arguments + overrides))


def _split(words: List[str]) -> "tuple[str, List[str]]":
    """The file, and the overrides after it. Raises EnvdocError where more than one file is named."""
    others = [word for word in words[1:] if "=" not in word]
    if others:
        raise EnvdocError(
            f"Two files were given: `{words[0]}` and `{others[0]}`.", "Look at one after the other."
        )
    return words[0], words[1:]


def _interpreter(file: str, model: Optional[Path], overrides: List[str], python: Optional[str]) -> str:
    """The target's where a library is needed (or `--python` given), else the one that runs envdoc."""
    names_model = model is not None or any(word.startswith("model") for word in overrides)
    path = Path(file)
    if python is None and not names_model and path.suffix.lower() not in NEED_LIBRARIES and not path.is_dir():
        return sys.executable
    use_settings()
    return choose_target(python, os.environ, home()).path
