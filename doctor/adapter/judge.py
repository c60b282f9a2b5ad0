"""One folder judged: its files, its config, what lies beside them."""

from dataclasses import dataclass
from typing import FrozenSet, List, Optional

from envdoc.doctor.adapter.checks import check_archive
from envdoc.doctor.adapter.config_checks import check_config
from envdoc.doctor.adapter.folder import CONFIG, OLD, SAFE, AdapterFolder
from envdoc.doctor.adapter.names import clean
from envdoc.doctor.adapter.receipt import check_receipt
from envdoc.doctor.adapter.verdict import Check, FileVerdict, Verdict

# Files of one save are written within moments; a file system may tell time by two seconds.
SAME_SAVE_SECONDS = 5.0


@dataclass(frozen=True)
class Peft:
    """The peft that would load the adapter; all unknown where none is installed."""

    version: Optional[str] = None
    fields: Optional[FrozenSet[str]] = None
    tolerant: bool = False


def judge(folder: AdapterFolder, peft: Peft) -> Verdict:
    """Every check that needs no base model."""
    main = folder.main
    checks = check_config(
        folder.config, folder.config_problem, main, peft.fields, peft.tolerant, peft.version, folder.origin
    )
    received = check_receipt(folder)
    files: List[FileVerdict] = []
    for archive in folder.archives:
        own = check_archive(archive, folder.config, peft.version, folder.origin)
        loaded = archive is main
        checks += own if loaded else _aside(own)
        of_it = [*own, *(check for check in received if check.file == archive.path.name)]
        verdict = "not loaded" if not loaded else "not real" if any(c.failed for c in of_it) else "real"
        numbers = sum(tensor.count for tensor in archive.tensors.values())
        files.append(FileVerdict(archive.path.name, verdict, len(archive.tensors), numbers, archive.bytes))
    checks += _beside(folder)
    checks += received
    nested = any(clean(name) != name for archive in folder.archives for name in archive.tensors)
    named = (folder.config or {}).get("base_model_name_or_path")
    base = str(named or "")
    return Verdict(str(folder.path), folder.origin, tuple(checks), tuple(files), base, nested)


def _aside(checks: List[Check]) -> List[Check]:
    """The checks of a file that is not the one loaded: faults are told and are not grave."""
    return [
        Check(f"{check.name} ({check.file})", check.ok, check.detail, check.file, grave=False)
        for check in checks
        if check.ok is False
    ]


def _beside(folder: AdapterFolder) -> List[Check]:
    """What else lies there: no file at all, a stale one, checkpoints without an adapter."""
    checks: List[Check] = []
    names = [archive.path.name for archive in folder.archives]
    if not names and folder.whole_models:
        told = f"there is no adapter file, and {folder.whole_models[0]} holds a whole model: transformers below 4.31 "
        told += "saves such checkpoints of a peft model (save with model.save_pretrained)"
        checks.append(Check("file", False, told, folder.whole_models[0]))
    elif not names and not (folder.config is None and folder.checkpoints):
        checks.append(Check("file", False, f"there is neither {SAFE} nor {OLD}"))
    if SAFE in names and OLD in names:
        age = folder.times[SAFE] - folder.times[OLD]
        if abs(age) <= SAME_SAVE_SECONDS:
            told = f"{OLD} lies beside {SAFE}, of the same time; peft reads the latter"
            checks.append(Check("old file", True, told, OLD))
        elif age > 0:
            told = f"{OLD} is {_ago(age)} older than {SAFE} and stale; torch.load in a script reads it"
            checks.append(Check("old file", False, told, OLD, grave=False))
        else:
            told = f"{SAFE} is {_ago(-age)} older than {OLD}: peft reads the older one"
            checks.append(Check("old file", False, told, SAFE))
    config_time, main = folder.times.get(CONFIG), folder.main
    if main is not None and config_time is not None and len(names) == 1:
        age = config_time - folder.times.get(main.path.name, config_time)
        if age > 3600:
            told = f"{main.path.name} is {_ago(age)} older than {CONFIG}, which every save rewrites: was it updated?"
            checks.append(Check("age", False, told, main.path.name, grave=False))
    bare = [path.name for path in folder.checkpoints if not _has_adapter(path)]
    if bare:
        told = (
            f"{len(bare)} of {len(folder.checkpoints)} checkpoints hold no adapter file, for one {bare[-1]}"
        )
        whole = (folder.checkpoints[0].parent / bare[-1] / "pytorch_model.bin").exists()
        told += ", but a pytorch_model.bin (transformers below 4.31)" if whole else ""
        checks.append(Check("checkpoints", False, told, bare[-1], grave=not names))
    elif folder.checkpoints:
        checks.append(Check("checkpoints", True, f"{len(folder.checkpoints)}, each with an adapter file"))
    return checks


def _has_adapter(path: "object") -> bool:
    return any((path / name).exists() for name in (SAFE, OLD))  # type: ignore[operator]


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
