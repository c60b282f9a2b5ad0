"""Rules about installed files: whether they are those that were installed, and who owns them."""

import re
from typing import List, Optional, Set, Tuple

from envdoc.doctor.facts.snapshot import Distribution, Integrity, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_packages, shorten
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.requirements import training_packages
from envdoc.doctor.tables.same_import_names import same_import_names
from envdoc.doctor.tables.versions import numbers

# Installers that write a RECORD and leave it. conda and the systems' package managers keep lists of their own.
WRITE_RECORD = ("pip", "uv", "poetry", "pdm", "hatch", "pipenv")
_NVIDIA_MAJOR = re.compile(r"(.+)-cu\d+$")
_MAJOR_MINOR = re.compile(r"cp(\d)(\d+)")
_MACHINES = ("x86_64", "aarch64", "ppc64le", "s390x", "riscv64")


@rule("PKG011")
def files_damaged(machine: Snapshot) -> List[Problem]:
    """Files of a distribution are missing, or are not as it recorded them."""
    told = _integrity(machine)
    training = training_packages(machine.packages, machine.interpreter)
    broken_editables = {problem.package for problem in told.pth_problems}
    problems = []
    for found in told.distributions:
        if not found.faults or found.lost_entries or not _is_judged(machine, found, told):
            continue
        if found.name in broken_editables or (found.name == "torch" and _torch_is_told(machine)):
            continue
        breaks = any(fault.breaks for fault in found.faults)
        if found.name in training:
            severity = Severity.ERROR if breaks else Severity.WARNING
        else:
            severity = Severity.WARNING if breaks else Severity.INFO
        worst = found.faults[0]
        what = {"missing": "is missing", "size": "has another size", "contents": "has other contents"}
        values = {
            "name": shorten(f"{found.name} {found.version}", 30),
            "count": _files(found.fault_count),
            "first": f"{worst.path} {what[worst.problem]}"
            + (
                f" ({worst.found_bytes:,} bytes instead of {worst.recorded_bytes:,})"
                if worst.problem == "size"
                else ""
            ),
            "checked": _files(found.files_checked),
        }
        evidence = tuple(f"{f.path}: {f.problem}" for f in found.faults[:5])
        problems.append(
            Problem(
                values, evidence, (found.name,), severity, (reinstall(machine, found.name, found.version),)
            )
        )
    return problems


@rule("PKG012")
def record_missing(machine: Snapshot) -> List[Problem]:
    """A distribution that pip or uv installed has no RECORD any more."""
    told = _integrity(machine)
    installers = {(p.name, p.location): p.installer for p in machine.packages if not p.problem}
    lacking = [
        found
        for found in told.distributions
        if not found.has_record and installers.get((found.name, found.location)) in WRITE_RECORD
    ]
    if not lacking:
        return []
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    names = tuple(found.name for found in lacking)
    values = {"name": shorten(f"{names[0]} {lacking[0].version}", 30) + more, "all": ", ".join(names[:12])}
    commands = tuple(reinstall(machine, found.name, found.version, ignore=True) for found in lacking[:5])
    return [Problem(values, affects=names, commands=commands)]


@rule("PKG013")
def namespace_leftover(machine: Snapshot) -> List[Problem]:
    """The folder of an import name has no __init__.py: Python takes it for an empty namespace."""
    told = _integrity(machine)
    problems = []
    for found in told.distributions:
        if found.lost_entries and _is_judged(machine, found, told):
            if found.name == "torch" and _torch_is_told(machine):
                continue
            import_name = found.lost_entries[0].partition("/")[0]
            problems.append(
                Problem(
                    {
                        "name": shorten(import_name, 30),
                        "place": f"{found.location}/{import_name}",
                        "owner": f"{found.name} {found.version} recorded one, and {_files(found.fault_count)} of it "
                        "in all are missing or changed",
                    },
                    affects=(found.name,),
                    commands=(reinstall(machine, found.name, found.version),),
                )
            )
    for place in told.leftovers:
        values = {"name": place.rpartition("/")[2], "place": place, "owner": "no installed package owns it"}
        problems.append(Problem(values, severity=Severity.WARNING, commands=(f"rm -r {place}",)))
    return problems


@rule("PKG014")
def path_file_leads_nowhere(machine: Snapshot) -> List[Problem]:
    """A line of a .pth file, or the source of an editable install, is not there."""
    require_packages(machine)
    training = training_packages(machine.packages, machine.interpreter)
    entries = machine.integrity.pth_problems if machine.integrity is not None else ()
    named = {entry.package for entry in entries}
    problems = []
    for package in machine.packages:
        if package.editable and package.problem and package.name not in named:
            values = {
                "name": f"Editable install of {shorten(package.name, 40)}",
                "file": package.location,
                "missing": f"{package.name} is registered as editable, and {package.problem}",
                "effect": "Its import fails, or takes another copy",
            }
            severity = Severity.ERROR if package.name in training else Severity.WARNING
            command = reinstall(machine, package.name)
            problems.append(Problem(values, affects=(package.name,), severity=severity, commands=(command,)))
    for entry in entries:
        file = entry.file.rpartition("/")[2]
        if entry.problem == "module":
            missing = f"`{shorten(entry.target, 60)}` imports a module that is not there"
            effect = "Every start of this Python prints an error about that line"
        else:
            missing = f"it names `{entry.target}`, which is not there"
            effect = "Python passes the line over in silence, and what lay there cannot be imported"
        name = f"Editable install of {entry.package}" if entry.package else file
        command = (
            reinstall(machine, entry.package)
            if entry.package and machine.package(entry.package)
            else f"rm {entry.file}"
        )
        values = {"name": shorten(name, 50), "file": entry.file, "missing": missing, "effect": effect}
        severity = Severity.ERROR if entry.package in training else Severity.WARNING
        problems.append(
            Problem(values, affects=(entry.package or file,), severity=severity, commands=(command,))
        )
    return problems


@rule("PKG015")
def two_owners(machine: Snapshot) -> List[Problem]:
    """Two distributions recorded the same code files of one import name."""
    require_packages(machine)
    pairs: List[Tuple[str, Tuple[str, str], Tuple[str, str], str]] = []
    for import_name, owners in same_import_names().items():
        found = [p for p in machine.packages if p.name in owners and not p.problem and p.installer != "conda"]
        for other in found[1:]:
            if other.name != found[0].name and other.location == found[0].location:
                first, second = (found[0].name, found[0].version), (other.name, other.version)
                pairs.append((import_name, first, second, "All files of that name"))
    for files in machine.integrity.shared if machine.integrity is not None else ():
        names = {files.first[0], files.second[0]}
        stems = [_NVIDIA_MAJOR.match(name) for name in names]
        if all(stems) and len({stem.group(1) for stem in stems if stem}) == 1:  # TOR007
            continue
        if not any(names == {first[0], second[0]} for _, first, second, _ in pairs):
            said = f"{_files(files.count)} ({', '.join(files.examples)} and so on)"
            pairs.append((files.import_name, files.first, files.second, said))
    training = training_packages(machine.packages, machine.interpreter)
    return [
        Problem(
            {
                "import_name": shorten(import_name, 20),
                "first": shorten(" ".join(first), 24),
                "second": shorten(" ".join(second), 24),
                "files": said,
            },
            affects=(first[0], second[0]),
            severity=Severity.WARNING if {first[0], second[0]} & training else Severity.INFO,
            commands=_keep_one(machine, first[0], second[0]),
        )
        for import_name, first, second, said in pairs
    ]


@rule("PKG016")
def wrong_wheel(machine: Snapshot) -> List[Problem]:
    """A wheel with compiled code for another Python, processor or system."""
    told = _integrity(machine)
    if machine.interpreter.implementation != "CPython" or machine.interpreter.system != "Linux":
        raise Skip("wheel tags are judged for CPython on Linux")
    training = training_packages(machine.packages, machine.interpreter)
    problems = []
    for found in told.distributions:
        reasons = [_unfit(tag, machine) for tag in found.wheel_tags]
        if not reasons or not all(reasons) or not _is_judged(machine, found, told):
            continue
        values = {
            "name": shorten(f"{found.name} {found.version}", 30),
            "reason": reasons[0],
            "tags": ", ".join(found.wheel_tags),
            "python": machine.interpreter.version,
            "machine": machine.interpreter.machine,
        }
        severity = Severity.ERROR if found.name in training else Severity.WARNING
        command = reinstall(machine, found.name, found.version)
        problems.append(Problem(values, affects=(found.name,), severity=severity, commands=(command,)))
    return problems


def _integrity(machine: Snapshot) -> Integrity:
    require_packages(machine)
    if machine.integrity is None:
        raise Skip("the installed files were not compared with their RECORDs")
    return machine.integrity


def _is_judged(machine: Snapshot, found: Distribution, told: Integrity) -> bool:
    """Not what conda installed or an editable install, not a package that is registered twice (PKG003), and not one
    whose files are links into nothing (PKG045)."""
    if sum(d.name == found.name and d.location == found.location for d in told.distributions) > 1:
        return False
    links = machine.remains.dangling if machine.remains is not None else ()
    if any(link.startswith(f"{found.location}/{found.name.replace('-', '_')}") for link in links):
        return False
    owners = [p for p in machine.packages if p.name == found.name and p.location == found.location]
    return not any(p.editable or p.installer == "conda" for p in owners)


def _torch_is_told(machine: Snapshot) -> bool:
    """TOR002 speaks about torch's files."""
    return machine.torch is None or bool(machine.torch.problem)


def _unfit(tag: str, machine: Snapshot) -> str:
    """Why a wheel with that tag is not for this interpreter; empty where it is, or where that is not known."""
    parts = tag.split("-")
    if len(parts) != 3:
        return ""
    interpreter, abi, platform = parts
    if platform.startswith("musllinux") and machine.host.glibc:
        return "is built for musl, and this system has glibc"
    here: Set[str] = {machine.interpreter.machine} & set(_MACHINES)
    built_for = {name for name in _MACHINES if platform.endswith("_" + name)}
    if platform.startswith(("win", "macosx")):
        return f"is built for {platform.partition('_')[0]}, not for Linux"
    if here and built_for and not here & built_for:
        return f"is built for {built_for.pop()}, and this is {here.pop()}"
    wanted, minor = _minor(interpreter), numbers(machine.interpreter.version)[:2]
    if wanted is None or len(minor) < 2:
        return ""
    if abi == "abi3":
        return f"wants Python {wanted[0]}.{wanted[1]} or newer" if tuple(minor) < wanted else ""
    if abi.startswith("cp") and tuple(minor) != wanted:
        return f"is built for Python {wanted[0]}.{wanted[1]}, not {minor[0]}.{minor[1]}"
    return ""


def _minor(interpreter: str) -> Optional[Tuple[int, int]]:
    match = _MAJOR_MINOR.fullmatch(interpreter)
    return (int(match.group(1)), int(match.group(2))) if match else None


def reinstall(machine: Snapshot, name: str, version: str = "", ignore: bool = False) -> str:
    """The command that lays the same version over itself; `ignore` where pip could not remove the old one."""
    if name == "torch" and machine.torch is not None and machine.torch.version:
        version = machine.torch.version
    wanted = f"{name}=={version}" if version else name
    python = machine.interpreter.path or "python3"
    if not machine.interpreter.has_pip:
        return f"uv pip install --python {python} --reinstall --no-deps {wanted}"
    how = "--ignore-installed" if ignore else "--force-reinstall"
    return f"{python} -m pip install {how} --no-deps {wanted}"


def _keep_one(machine: Snapshot, first: str, second: str) -> Tuple[str, ...]:
    """Remove the one that nothing requires, and lay the other over what that removal took along."""
    wanted = {
        word
        for p in machine.packages
        for word in (re.split(r"[^\w.-]", r.strip(), maxsplit=1)[0] for r in p.requires)
    }
    kept, gone = (first, second) if first in wanted or second not in wanted else (second, first)
    python = machine.interpreter.path or "python3"
    remove = (
        f"{python} -m pip uninstall -y {gone}"
        if machine.interpreter.has_pip
        else f"uv pip uninstall --python {python} {gone}"
    )
    package = machine.package(kept)
    return (remove, reinstall(machine, kept, package.version if package is not None else ""))


def _files(count: int) -> str:
    return "one file" if count == 1 else f"{count:,} files"
