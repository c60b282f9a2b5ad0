"""run.yaml and environment.json: what was asked for and with what it ran, enough to do it again."""

import dataclasses
import datetime
import importlib.metadata
import json
from pathlib import Path
from typing import Any, Dict, List

from envdoc.train import clashes, usage
from envdoc.train.config import Run
from envdoc.train.private import private
from envdoc.train.ready import Ready

RUN, ENVIRONMENT = "run.yaml", "environment.json"


def write(ready: Ready, environment: Dict[str, Any]) -> None:
    """Both files, anew at each attempt. Raises OSError."""
    facts = [
        f"data sha256 {ready.corpus.sha256}",
        f"base model fingerprint {ready.fingerprint}",
        f"computed in {ready.precision.dtype} on {ready.precision.device.type}",
    ]
    _put(ready.folder / RUN, run_text(ready.settings, facts))
    told = json.dumps(private(environment), indent=2, ensure_ascii=False) + "\n"
    _put(ready.folder / ENVIRONMENT, told)


def run_text(settings: Run, facts: List[str]) -> str:
    """The run as YAML that `envdoc train` takes again: every key with its value, those by default included."""
    lines = [
        "# This run with every value that it had, those by default included. To do it again:",
        f"#     {usage.again(RUN, bool(settings.output))}",
        f"# Relative paths start at the folder from which it was started: {private(str(Path.cwd()))}",
        *(f"# {fact}" for fact in facts),
    ]
    meaningless = clashes.meaningless(settings)
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            lines.append(f"{item.name}:")
            for inner in dataclasses.fields(value):
                line = f"{inner.name}: {_scalar(getattr(value, inner.name))}"
                idle = f"{item.name}.{inner.name}" in meaningless
                lines.append(f"  # {line}  (without effect here)" if idle else f"  {line}")
        elif item.name != "overwrite":  # a file that replaces a finished run is nothing to keep at hand
            lines.append(f"{item.name}: {_scalar(value)}")
    return "\n".join(lines) + "\n"


def environment(ready: Ready, libraries: Dict[str, Any]) -> Dict[str, Any]:
    """`libraries` is what they tell of themselves (receipt.environment); added are all distributions, and the lock."""
    context = ready.asked.context
    facts = context.get("facts") or {}
    return {
        "schema_version": 1,
        "written_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "envdoc_version": context.get("envdoc_version"),
        **libraries,
        "driver": facts.get("driver") if isinstance(facts, dict) else None,
        "lockfile": context.get("lockfile"),
        "distributions": distributions(),
    }


def distributions() -> Dict[str, str]:
    """Name and version of everything that is installed, as `pip freeze` lists it, without where it came from."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name and name not in found:  # the first on the path is the one that is imported
            found[str(name)] = str(distribution.version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _scalar(value: Any) -> str:
    """The value as YAML on one line. JSON is YAML but for text that begins otherwise than it should: it is quoted."""
    return json.dumps(private(list(value) if isinstance(value, tuple) else value), ensure_ascii=False)


def _put(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
