"""The proofs of the advisories, run: each reproducer over the packages of each proof, the verdicts kept as evidence.

evidence.json has, for each advisory, one row a proof: the packages, what it must show (`fails`), what it showed
(`verdict`: fails, passes, broken, timeout), the line that was seen, when, with which base, and the reproducer's hash.
A row whose reproducer, packages and base are those of the last run is not run again.
"""

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from envdoc.doctor.advisories import Advisory
from envdoc.doctor.advisories.overlays import overlay, with_companions
from envdoc.doctor.child import Completed, run
from envdoc.doctor.errors import EnvdocError

SCHEMA_VERSION = 1
LIMIT_SECONDS = 120.0
FOLDER = Path(__file__).parent
FAILS, PASSES, BROKEN, TIMEOUT = "fails", "passes", "broken", "timeout"

# The three known issues that envdoc is named for. CI runs them on both sides of every bound, every time.
NAMED = re.compile(r"llama-|adapter-(?!transformers)|fan-in-fan-out|conv1d-|protobuf-descriptors")

_INSIDE = (
    "import importlib.metadata as m, json, sys; print(json.dumps({'python': sys.version.split()[0], 'packages': \
{str(d.metadata['Name']).lower().replace('_', '-'): d.version for d in m.distributions()}}))"
)
_ADDRESS = re.compile(r"https?://[^\s'\")]+")
_PACKAGE_FOLDER = re.compile(r"(?:[A-Za-z]:)?[/\\][^\s'\"(),]*?(?=(?:site-packages|reproducers)[/\\])")


@dataclass(frozen=True)
class Base:
    """The environment below the overlays."""

    interpreter: Path
    python: str  # 3.11.7
    packages: Tuple[Tuple[str, str], ...]

    @property
    def id(self) -> str:
        """A short hash of all that is installed in it."""
        text = "\n".join(f"{name}=={version}" for name, version in self.packages)
        return hashlib.sha256((self.python + "\n" + text).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Row:
    """One proof of one advisory, ready to be run."""

    advisory: str
    reproducer: Path
    packages: Tuple[str, ...]  # as the proof names them
    companions: Tuple[str, ...]  # what they need beside them
    fails: bool  # what it must show

    @property
    def reproducer_sha256(self) -> str:
        """The hash of the script and of the helpers beside it that it imports."""
        digest = hashlib.sha256()
        text = self.reproducer.read_bytes()
        digest.update(text)
        for helper in sorted(self.reproducer.parent.glob("_*.py")):
            if helper.stem.encode() in text:
                digest.update(helper.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Seen:
    """What a run showed; a row of evidence.json."""

    packages: Tuple[str, ...]
    companions: Tuple[str, ...]
    fails: bool
    verdict: str
    seen: str
    date: str
    python: str
    torch: str
    base: str
    seconds: float
    reproducer_sha256: str

    @property
    def as_it_must(self) -> bool:
        """Whether the run showed what the proof says."""
        return self.verdict == (FAILS if self.fails else PASSES)


def base_of(interpreter: Path) -> Base:
    """What is installed there. Raises EnvdocError where that Python does not answer."""
    done = run([str(interpreter), "-I", "-c", _INSIDE], 60)
    if not done.ok:
        raise EnvdocError(f"`{interpreter}` does not tell what is installed: {done.stderr.strip()[-300:]}")
    told = json.loads(done.stdout)
    return Base(interpreter, told["python"], tuple(sorted(told["packages"].items())))


def rows(known: Sequence[Advisory], folder: Path = FOLDER) -> Tuple[Row, ...]:
    """Every proof of every advisory, in the order of the ids and of the proofs in their files."""
    found = []
    for advisory in known:
        for proof in advisory.proof:
            every = with_companions(proof.packages, folder)
            found.append(
                Row(
                    advisory.id,
                    folder / "reproducers" / f"{advisory.reproducer}.py",
                    proof.packages,
                    every[len(proof.packages) :],
                    proof.fails,
                )
            )
    return tuple(found)


def sample(every: Sequence[Row], count: int, day: date) -> Tuple[Row, ...]:
    """As many rows as that, chosen by the day alone: all of them come up in time, and a day can be repeated."""
    chosen = Random(day.isoformat()).sample(range(len(every)), min(count, len(every)))
    return tuple(every[index] for index in sorted(chosen))


def run_row(row: Row, base: Base, pinned: Mapping[str, str], cache: Path, today: date) -> Seen:
    """Run one reproducer in an empty folder with its overlays. Never raises: what goes wrong is a verdict."""
    try:
        paths = [overlay(base.interpreter, item, pinned, cache) for item in row.packages + row.companions]
        with tempfile.TemporaryDirectory(prefix="envdoc-proof-") as folder:
            command = [str(base.interpreter), "-W", "ignore", str(row.reproducer)]
            done = run(command, LIMIT_SECONDS, env=_environment(paths, folder), cwd=folder)
            verdict, seen = _verdict(done)
            seen = _without_places(seen, folder, cache)
            seconds = round(done.seconds, 1)
    except EnvdocError as error:
        verdict, seen, seconds = BROKEN, str(error), 0.0
    return Seen(
        packages=row.packages,
        companions=row.companions,
        fails=row.fails,
        verdict=verdict,
        seen=seen,
        date=today.isoformat(),
        python=base.python,
        torch=dict(base.packages).get("torch", ""),
        base=base.id,
        seconds=seconds,
        reproducer_sha256=row.reproducer_sha256,
    )


def _environment(paths: Sequence[Path], folder: str) -> Dict[str, str]:
    """Nothing of the caller's but PATH: no hub, no GPU, no home, one thread."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONNOUSERSITE": "1",
        "PYTHONHASHSEED": "0",
        "HOME": folder,
        "HF_HOME": str(Path(folder, "hub")),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _verdict(done: Completed) -> Tuple[str, str]:
    if done.timed_out:
        return TIMEOUT, f"no answer within {LIMIT_SECONDS:.0f} seconds"
    lines = done.stdout.strip().splitlines()
    try:
        told = json.loads(lines[-1]) if lines else None
        if done.ok and isinstance(told["fault"], bool):  # type: ignore[index]
            return (FAILS if told["fault"] else PASSES), str(told["seen"])  # type: ignore[index]
    except (ValueError, KeyError, TypeError):
        pass
    return BROKEN, " | ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-2:])[-400:]


def _without_places(text: str, folder: str, cache: Path) -> str:
    """The line without the folders of this machine, and without addresses."""
    text = text.replace(folder, "FOLDER").replace(str(cache / "one"), "OVERLAYS")
    return _ADDRESS.sub("ADDRESS", _PACKAGE_FOLDER.sub(".../", text))


def read_evidence(path: Path) -> Dict[str, List[Seen]]:
    """Advisory -> its rows; empty where there is no such file."""
    if not path.exists():
        return {}
    raw = json.loads(path.read_text(encoding="utf-8"))["proofs"]
    return {advisory: [_row(row) for row in found] for advisory, found in raw.items()}


def _row(raw: Mapping[str, Any]) -> Seen:
    values: Dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()
    }
    return Seen(**values)


def write_evidence(path: Path, evidence: Mapping[str, Sequence[Seen]], base: Base) -> None:
    """Sorted by advisory and packages, whole or not at all: the file is written beside its place and renamed."""
    proofs = {
        advisory: [asdict(row) for row in sorted(found, key=lambda row: (row.packages, row.fails))]
        for advisory, found in sorted(evidence.items())
        if found
    }
    bases = json.loads(path.read_text(encoding="utf-8"))["bases"] if path.exists() else {}
    bases[base.id] = {"python": base.python, "packages": dict(base.packages)}
    used = {row["base"] for found in proofs.values() for row in found}
    document = {
        "schema_version": SCHEMA_VERSION,
        "bases": {key: value for key, value in bases.items() if key in used},
        "proofs": proofs,
    }
    beside = path.with_suffix(".new")
    beside.write_text(
        json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    beside.replace(path)


def is_done(row: Row, base: Base, evidence: Mapping[str, Sequence[Seen]]) -> bool:
    """Whether the evidence has this very run, and it showed what it must."""
    sha = row.reproducer_sha256
    return any(
        (seen.packages, seen.companions, seen.fails, seen.base, seen.reproducer_sha256)
        == (row.packages, row.companions, row.fails, base.id, sha)
        and seen.as_it_must
        for seen in evidence.get(row.advisory, ())
    )
