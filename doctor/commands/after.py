"""Commands for an adapter that is trained: merge, export, chat. Each runs in the target environment."""

import os
from pathlib import Path
from typing import List, Optional

import typer

from envdoc.doctor.commands.check import PYTHON
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.home import home
from envdoc.doctor.target import choose_target

ADAPTER = typer.Argument(..., metavar="ADAPTER", help="An adapter's folder, a checkpoint's, or a run's.")
BASE = typer.Option(None, "--base", metavar="FOLDER", help="Its base model, if that has moved.")


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command()(merge)
    app.command()(export)
    app.command()(chat)


def merge(
    adapter: Path = ADAPTER,
    out: Path = typer.Argument(..., metavar="OUT", help="A folder that is not there yet."),
    base: Optional[Path] = BASE,
    dtype: str = typer.Option(
        "auto", "--dtype", metavar="NAME", help="auto (the base's own 16 bits), bf16, fp16 or fp32."
    ),
    python: Optional[str] = PYTHON,
) -> None:
    """Add an adapter into its base's unquantised weights, and print how far the logits moved."""
    words = ["merge", str(_folder(adapter)), str(out), "--dtype", dtype, *_base(base)]
    raise typer.Exit(_launch(words, python))


def export(
    adapter: Path = ADAPTER,
    out: Path = typer.Argument(..., metavar="OUT.gguf", help="A file that is not there yet."),
    llama_cpp: Optional[Path] = typer.Option(
        None, "--llama-cpp", metavar="DIR", help="A checkout of llama.cpp, whose converter writes the file."
    ),
    type: str = typer.Option("auto", "--type", metavar="NAME", help="auto, bf16, fp16, fp32 or q8_0."),
    lora: bool = typer.Option(False, "--lora", help="The adapter by itself, without its base."),
    base: Optional[Path] = BASE,
    python: Optional[str] = PYTHON,
) -> None:
    """Write a GGUF file for llama.cpp and Ollama by llama.cpp's own converter, and read it back."""
    words = ["export", str(_folder(adapter)), str(out), "--type", type, *_base(base)]
    words += ["--llama-cpp", str(llama_cpp)] if llama_cpp is not None else []
    words += ["--lora"] if lora else []
    raise typer.Exit(_launch(words, python))


def chat(
    adapter: Path = ADAPTER,
    base: Optional[Path] = BASE,
    system: Optional[str] = typer.Option(None, "--system", metavar="TEXT", help="What it begins with."),
    quantization: Optional[str] = typer.Option(
        None, "--quantization", metavar="NAME", help="none, 8bit or 4bit; by default as it was trained."
    ),
    max_tokens: int = typer.Option(512, "--max-tokens", help="The longest answer."),
    temperature: float = typer.Option(0.0, "--temperature", help="0 takes the likeliest token each time."),
    top_p: float = typer.Option(0.95, "--top-p", help="Of the likeliest tokens, with a temperature."),
    seed: int = typer.Option(42, "--seed", help="Of the random choice, with a temperature."),
    python: Optional[str] = PYTHON,
) -> None:
    """Talk to an adapter in the terminal; /base answers without it, to compare."""
    words = ["chat", str(_folder(adapter)), *_base(base), "--max-tokens", str(max_tokens)]
    words += ["--temperature", str(temperature), "--top-p", str(top_p), "--seed", str(seed)]
    words += ["--quantization", quantization] if quantization is not None else []
    words += [f"--system={system}"] if system is not None else []
    raise typer.Exit(_launch(words, python))


def _launch(words: List[str], python: Optional[str]) -> int:
    from envdoc.doctor.commands.in_place import use_settings
    from envdoc.doctor.commands.train import _require_libraries, without_gpu
    from envdoc.doctor.handoff import launch

    use_settings()
    target = choose_target(python, os.environ, home())
    return launch(target.path, words, hide_gpus=without_gpu(_require_libraries(target)))


def _base(base: Optional[Path]) -> List[str]:
    return ["--base", str(base)] if base is not None else []


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise EnvdocError(
            f"There is no adapter folder at `{path}`.", "`envdoc train` prints where it saves one."
        )
    return path
