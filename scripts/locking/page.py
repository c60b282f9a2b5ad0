"""The table in docs/locks.md, from profiles.toml: what each lock is for, and when and on what it was proved."""

from pathlib import Path
from typing import Any, Dict, List

import tomllib

BEGIN, END = (
    "<!-- table: written by scripts/lock from lockfiles/profiles.toml -->",
    "<!-- end of the table -->",
)
COLUMNS = (
    "profile", "Python", "torch, CUDA", "transformers, bitsandbytes", "driver: exact, minor", "torch's GPU code",
    "bitsandbytes' GPU code", "download, disk (GB)", "proved on", "by",
)  # fmt: skip


def table(profiles: Dict[str, Dict[str, Any]]) -> str:
    """The Markdown table, in the order of the file."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(_row(name, entry)) + " |" for name, entry in profiles.items()]
    return "\n".join(lines) + "\n"


def write(page: Path, profiles: Path) -> None:
    """Put the table between its two marks; the words around it stay."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    made = table(tomllib.loads(profiles.read_text(encoding="utf-8")))
    page.write_text(f"{before}{BEGIN}\n{made}{END}{after}", encoding="utf-8")


def _row(name: str, entry: Dict[str, Any]) -> List[str]:
    sizes = f"{entry['download_bytes'] / 1e9:.1f}, {entry.get('venv_bytes', 0) / 1e9:.1f}"
    if "cpu_build_sha256" in entry:
        small = f"{entry['cpu_build_download_bytes'] / 1e9:.1f}, {entry['cpu_build_venv_bytes'] / 1e9:.1f}"
        sizes += f" (CPU build: {small})"
    drivers = f"{entry['driver_exact']}, {entry['driver_minor']}" if entry["cuda"] else "none"
    return [
        f"`{name}`",
        entry["python"],
        f"{entry['torch']}, {entry['cuda'] or 'CPU'}",
        f"{entry.get('transformers', '')}, {entry.get('bitsandbytes', '')}",
        drivers,
        _codes(entry.get("torch_architectures", [])),
        _codes(entry.get("bitsandbytes_architectures", [])),
        sizes,
        entry["date"],
        entry["probe"],
    ]


def _codes(names: List[str]) -> str:
    """sm_75 sm_80 as "75 80"."""
    return " ".join(name.replace("sm_", "") for name in names) or "none"
