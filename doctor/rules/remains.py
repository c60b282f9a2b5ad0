"""Rules about what interrupted, half-undone and mixed installs leave behind."""

from collections import Counter
from typing import Dict, List, Tuple

from envdoc.doctor.facts.snapshot import Package, Remains, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.integrity import WRITE_RECORD, reinstall
from envdoc.doctor.rules.machine import require_packages, shorten, uninstall_command
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.requirements import training_packages
from envdoc.doctor.tables.versions import parsed, public

_CONDA_TO_PIP = {"pytorch": "torch", "libtorch": "torch", "pytorch-cpu": "torch", "pytorch-gpu": "torch"}


@rule("PKG041")
def folder_set_aside(machine: Snapshot) -> List[Problem]:
    """A folder that pip renamed while it replaced a package, and never deleted."""
    places = _remains(machine).set_aside
    if not places:
        return []
    names = [place.rpartition("/")[2] for place in places]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    values = {"first": shorten(names[0], 36), "more": more, "place": places[0].rpartition("/")[0]}
    return [Problem(values, places[:12], commands=tuple(f"rm -r '{place}'" for place in places[:12]))]


@rule("PKG042")
def modules_of_another_release(machine: Snapshot) -> List[Problem]:
    """Modules in a package's folder that its RECORD does not list: of another release, or somebody's own."""
    problems = []
    for found in _remains(machine).stale:
        package = machine.package(found.import_name.replace("_", "-"))
        if package is None or package.editable or package.installer == "conda":
            continue
        values = {
            "name": found.import_name,
            "count": "one module" if found.count == 1 else f"{found.count:,} modules",
            "version": shorten(package.version, 16),
            "place": found.place,
        }
        command = (
            uninstall_command(machine, package.name),
            f"rm -r '{found.place}'",
            reinstall(machine, package.name, package.version),
        )
        problems.append(Problem(values, found.examples, affects=(package.name,), commands=command))
    return problems


@rule("PKG043")
def folder_and_metadata_differ(machine: Snapshot) -> List[Problem]:
    """A dist-info whose folder is named after another package or version than its METADATA says."""
    require_packages(machine)
    if machine.integrity is None:
        raise Skip("the installed files were not looked at")
    by_name: Dict[Tuple[str, str], List[Package]] = {}
    for package in machine.packages:
        by_name.setdefault((package.location, package.name), []).append(package)
    readable = {package.location for package in machine.packages if not package.problem}
    folders = Counter((folder.location, folder.name) for folder in machine.integrity.distributions)
    problems = []
    for folder in machine.integrity.distributions:
        place = (folder.location, folder.name)
        same = by_name.get(place, [])
        if folder.location not in readable or any(_same(p.version, folder.version) for p in same):
            continue
        if folders[place] > 1 or any(p.problem for p in same):  # PKG003 and PKG005 say it
            continue
        says = f"{same[0].name} {same[0].version}" if same else "another package"
        values = {
            "folder": shorten(f"{folder.name} {folder.version}", 30),
            "says": shorten(says, 30),
            "place": folder.location,
        }
        problems.append(Problem(values, affects=(folder.name,)))
    return problems


@rule("PKG044")
def wheels_and_conda(machine: Snapshot) -> List[Problem]:
    """conda and pip both installed a library into one prefix, in different versions."""
    owned = _remains(machine).conda
    if not owned:
        raise Skip("conda installed nothing of the training stack here")
    problems = []
    seen = set()
    for entry in owned:
        name = _CONDA_TO_PIP.get(entry.name, entry.name.replace("_", "-"))
        package = machine.package(name)
        if package is None or name in seen or package.installer not in WRITE_RECORD:
            continue
        version = machine.torch.version if name == "torch" and machine.torch is not None else package.version
        if _same(public(version), public(entry.version)):
            continue
        seen.add(name)
        values = {
            "conda": shorten(f"{entry.name} {entry.version}", 26),
            "pip": shorten(f"{name} {version}", 26),
            "place": package.location,
            "installer": package.installer,
        }
        command = f"conda remove --force -y {entry.name}"
        severity = (
            None if name == "torch" else Severity.INFO
        )  # others are one folder, which pip replaced whole
        problems.append(Problem(values, affects=(name,), severity=severity, commands=(command,)))
    return problems


@rule("PKG045")
def links_into_nothing(machine: Snapshot) -> List[Problem]:
    """Installed files that are links into a cache that was emptied."""
    links = _remains(machine).dangling
    if not links:
        return []
    names = list(dict.fromkeys(_import_name(link) for link in links))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    values = {"first": shorten(names[0], 30), "more": more, "link": links[0]}
    python = machine.interpreter.path or "python3"
    packages = " ".join(name.replace("_", "-") for name in names)
    commands = (
        "export UV_LINK_MODE=hardlink",
        f"uv pip install --python {python} --reinstall --no-deps {packages}",
    )
    return [Problem(values, links[:12], affects=tuple(names), commands=commands)]


@rule("PKG046")
def record_cut_short(machine: Snapshot) -> List[Problem]:
    """A RECORD that is empty or does not list itself, so that files of the package are unknown to pip."""
    records = _remains(machine).partial_records
    training = training_packages(machine.packages, machine.interpreter)
    problems = []
    for place in records:
        location, _, info = place[: -len("/RECORD")].rpartition("/")
        package = next(
            (
                p
                for p in machine.packages
                if p.location == location and p.installer in WRITE_RECORD and _is_of(p, info)
            ),
            None,
        )
        if (
            package is None
            or sum(p.name == package.name and p.location == location for p in machine.packages) > 1
        ):
            continue
        values = {"name": shorten(f"{package.name} {package.version}", 34), "place": place}
        severity = Severity.WARNING if package.name in training else Severity.INFO
        command = reinstall(machine, package.name, package.version, ignore=True)
        problems.append(Problem(values, (place,), (package.name,), severity, (command,)))
    return problems


def _remains(machine: Snapshot) -> Remains:
    require_packages(machine)
    if machine.remains is None:
        raise Skip("the site folders were not looked through")
    return machine.remains


def _is_of(package: Package, info: str) -> bool:
    return info.split("-")[0].lower().replace("_", "-").replace(".", "-") == package.name


def _import_name(link: str) -> str:
    parts = link.split("/")
    return parts[-2] if parts[-1] == "__init__.py" else parts[-1]


def _same(first: str, second: str) -> bool:
    """Equal as versions; what cannot be read as one counts as equal."""
    one, other = parsed(first), parsed(second.replace("_", "-"))
    return one is None or other is None or one == other
