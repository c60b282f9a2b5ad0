"""`envdoc verify`: an adapter's folder by itself, two side by side, a rescue; then the proof by torch."""

import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

from envdoc.doctor.commands.output import announce, write
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.finding import Target
from envdoc.doctor.home import home
from envdoc.doctor.printable import printable
from envdoc.doctor.target import choose_target

if TYPE_CHECKING:
    from envdoc.doctor.adapter.folder import AdapterFolder
    from envdoc.doctor.adapter.judge import Peft
    from envdoc.doctor.adapter.verdict import Verdict
    from envdoc.doctor.facts.snapshot import Snapshot

NEEDED = ("torch", "transformers", "peft")
PROVED = "adapter_model.safetensors"  # what train/verify.py reads


def verify(
    adapter: Path,
    other: Optional[Path],
    base: Optional[Path],
    rescue: Optional[Path],
    static: bool,
    python: Optional[str],
    form: str,
) -> int:
    """The exit code of the command: 0 real or the same, 1 not real or different. Raises EnvdocError for misuse."""
    from envdoc.doctor.adapter.folder import is_adapter, read_folder

    if form not in ("text", "json"):
        raise EnvdocError(f"`--format {form}` is none of text, json.")
    if other is not None and rescue is not None:
        raise EnvdocError("`--rescue` mends one adapter, and two were named.")
    folders = [_folder(path) for path in (adapter, other) if path is not None]
    read = [read_folder(path) for path in folders]
    for folder in read:
        if not is_adapter(folder):
            raise EnvdocError(
                f"`{folder.path}` holds no adapter: there is neither an adapter_config.json nor a file of one in it.",
                "`envdoc train` saves one in runs/NAME/adapter, a Trainer in its output_dir.",
            )
    if other is not None:
        return _compare(read[0], read[1], form)
    if rescue is not None:
        return _rescue(read[0], rescue, form)
    return _judge(read[0], base, static, python, form)


def _folder(path: Path) -> Path:
    from envdoc.doctor.adapter.folder import of_run

    if not path.is_dir():
        raise EnvdocError(
            f"There is no adapter folder at `{path}`.", "`envdoc train` prints where it saves one."
        )
    return of_run(path)


def _compare(first: "AdapterFolder", second: "AdapterFolder", form: str) -> int:
    from envdoc.doctor.adapter.compare import compare

    found = compare(first, second)
    _print(found.to_json() if form == "json" else found.lines())
    return 0 if found.equal else 1


def _rescue(folder: "AdapterFolder", out: Path, form: str) -> int:
    from envdoc.doctor.adapter.folder import read_folder
    from envdoc.doctor.adapter.judge import Peft, judge
    from envdoc.doctor.adapter.rescue import rescue

    changed, file = rescue(folder, out)
    found = judge(read_folder(out), Peft())
    document = {**found.to_json(), "renamed": changed, "file": str(file)}
    told = [f"Wrote {file} with {changed} names mended; `{folder.path}` is as it was.", *found.lines()]
    _print(document if form == "json" else [*told, found.sentence()])
    return 0 if found.real else 1


def _judge(
    folder: "AdapterFolder", base: Optional[Path], static: bool, python: Optional[str], form: str
) -> int:
    from envdoc.doctor.adapter.judge import judge

    target, snapshot = _target(python)
    found = judge(folder, _peft(snapshot))
    reason = _no_proof(folder, found, base, static, snapshot)
    if reason or target is None or snapshot is None:
        lines = [*found.lines(), found.sentence()]
        _print(found.to_json() if form == "json" else lines)
        if found.rescue:
            announce(
                f"hint: `envdoc verify {folder.path} --rescue OUT` writes a folder with the names that load."
            )
        if found.real and reason:
            announce(f"note: What it does to its base model was not tried: {reason}.")
        return 0 if found.real else 1
    return _prove(folder, found, base, target, snapshot, form)


def _prove(
    folder: "AdapterFolder",
    found: "Verdict",
    base: Optional[Path],
    target: Target,
    snapshot: "Snapshot",
    form: str,
) -> int:
    """The proof in the target: the adapter laid on its base model."""
    from envdoc.doctor.commands.train import without_gpu
    from envdoc.doctor.handoff import launch

    arguments = ["verify", str(folder.path), "--format", form]
    arguments += ["--base", str(base)] if base is not None else []
    if form == "text":
        _print(found.lines())
    hidden = without_gpu(snapshot)
    with tempfile.TemporaryDirectory(prefix="envdoc-verify-") as scratch:
        told = Path(scratch) / "static.json"
        told.write_text(json.dumps(found.to_json()), encoding="utf-8")
        status = launch(target.path, [*arguments, "--static", str(told)], hide_gpus=hidden)
    if status == 2 and form == "json":  # the base could not be used; what the files told still stands
        _print(found.to_json())
    return status


def _no_proof(
    folder: "AdapterFolder",
    found: "Verdict",
    base: Optional[Path],
    static: bool,
    snapshot: "Optional[Snapshot]",
) -> str:
    """Why no base model is loaded; "" where one is."""
    if not found.real or static:
        return "only files were asked for" if static else "the files say enough"
    if folder.main is None or folder.main.path.name != PROVED:
        return f"there is no {PROVED}"
    if base is None and not (found.base and Path(found.base).is_dir()):
        return f"its base model `{found.base}` is no folder here; name one with `--base FOLDER`"
    missing = [name for name in NEEDED if snapshot is None or snapshot.package(name) is None]
    return f"the Python that was examined has no {', '.join(missing)}" if missing else ""


def _target(python: Optional[str]) -> "tuple[Optional[Target], Optional[Snapshot]]":
    """The environment that would load it, by its files. Neither where none runs and none was asked for."""
    from envdoc.doctor.facts.collect import collect

    try:
        target = choose_target(python, os.environ, home())
    except EnvdocError:
        if python is not None:
            raise
        return None, None
    snapshot = collect(target, quick=True)
    if snapshot.interpreter.error:
        if python is not None:
            raise EnvdocError(snapshot.interpreter.error, "Name another with `--python PATH`.")
        return None, None
    return target, snapshot


def _peft(snapshot: "Optional[Snapshot]") -> "Peft":
    from envdoc.doctor.adapter.judge import Peft
    from envdoc.doctor.adapter.peft_fields import lora_fields

    package = snapshot.package("peft") if snapshot is not None else None
    if package is None or not package.version:
        return Peft()
    fields, tolerant = lora_fields(package.location)
    return dataclasses.replace(Peft(package.version), fields=fields, tolerant=tolerant)


def _print(told: "dict[str, object] | List[str]") -> None:
    """A document as JSON or lines as text, on standard output, secrets out."""
    from envdoc.doctor.redact import without_secret_values, without_secrets

    if isinstance(told, dict):
        text = json.dumps(without_secret_values(told), indent=2, ensure_ascii=False) + "\n"
    else:
        text = without_secrets("\n".join(told)) + "\n"
    write(printable(text))
    if sys.stdout is not None:
        sys.stdout.flush()
