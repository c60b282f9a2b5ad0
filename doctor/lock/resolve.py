"""The user's packages resolved by pip-tools on the profile's own Python, with the profile's pins as bounds."""

import re
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envdoc.doctor.child import run
from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.pip_config import last_line, masked
from envdoc.doctor.lock.additions import Additions
from envdoc.doctor.lock.tools import environment

_LIMIT_SECONDS = 1800.0  # an index without metadata files, far away
_LINE = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
# pip's resolver names the two sides of a conflict only in these objects of its traceback.
_IMPOSSIBLE = re.compile(
    r"RequirementInformation\(requirement=\w+Requirement\(['\"]([^'\"]+)['\"]\), "
    r"parent=(None|\w+\(['\"][^'\"]*?/?([^/'\"]+)-(\d[^-/'\"]*)-[^/'\"]*\.whl)"
)
_FAST = (
    "--use-feature=fast-deps --only-binary=:all:"  # wheels' metadata by range requests; nothing is compiled
)


class Conflict(FixError):
    """An addition and a pin of the profile exclude each other; `package` and `wants` say what would be needed."""

    def __init__(self, asker: str, wants: str, profile: str, held: str) -> None:
        requirement = Requirement(wants)
        self.package, self.wants = str(canonicalize_name(requirement.name)), requirement
        self.asker = asker
        super().__init__(f"{asker} {wants}, and the profile {profile} holds {held}.")


def resolve(
    tool: Path,
    additions: Additions,
    base: Mapping[str, str],
    profile: str,
    kept: Mapping[str, str],
    upgrade: Optional[Sequence[str]],
    work: Path,
) -> Dict[str, str]:
    """Package -> version of what the additions bring beside the profile's pins `base`; those stay as they are.

    `kept` are the pins of the lock that was there: they stay too, unless `upgrade` names them (empty: all; None:
    none). Raises Conflict where a package of the profile would have to change, FixError where pip-tools fails.
    """
    for text in additions.requirements:
        _against_profile(text, base, profile)
    if not additions.requirements:
        return {}
    bounds = [f"{name}=={version}" for name, version in sorted(base.items())] + list(additions.constraints)
    (work / "additions.in").write_text("\n".join(additions.requirements) + "\n", encoding="utf-8")
    (work / "bounds.txt").write_text("\n".join(bounds) + "\n", encoding="utf-8")
    held = {} if upgrade is not None and not upgrade else {**kept}
    for name in upgrade or ():
        held.pop(name, None)
    made = work / "made.txt"  # pip-tools keeps what its own output pinned before
    made.write_text("".join(f"{name}=={version}\n" for name, version in held.items()), encoding="utf-8")
    command = [
        str(tool), "-m", "piptools", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate",
        "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--allow-unsafe",
        "--strip-extras", "--resolver", "backtracking", "--pip-args", _FAST,
        "-c", "bounds.txt", "-o", "made.txt", "additions.in",
    ]  # fmt: skip
    done = run(command, _LIMIT_SECONDS, env=environment(work), cwd=str(work))
    if done.timed_out:
        raise FixError(
            f"pip-tools did not come to an end in {_LIMIT_SECONDS / 60:.0f} minutes.",
            "Give bounds for the packages that you add, for example `trl>=1.0`.",
        )
    if not done.ok:
        raise _failure(done.stdout + done.stderr, base, profile)
    found = {
        str(canonicalize_name(name)): version for name, version in _LINE.findall(made.read_text("utf-8"))
    }
    return {name: version for name, version in found.items() if name not in base}


def _against_profile(text: str, base: Mapping[str, str], profile: str) -> None:
    requirement = Requirement(text)
    name = str(canonicalize_name(requirement.name))
    if name not in base or (requirement.marker is not None and not requirement.marker.evaluate()):
        return
    if not requirement.specifier.contains(base[name], prereleases=True):
        raise Conflict("You ask for", text, profile, base[name])


def _failure(output: str, base: Mapping[str, str], profile: str) -> FixError:
    last = output[output.rfind("ResolutionImpossible: [") :] if "ResolutionImpossible: [" in output else ""
    sides: List[Tuple[str, str]] = []
    for wants, parent, name, version in _IMPOSSIBLE.findall(last):
        package = canonicalize_name(Requirement(wants).name)
        asker = "You ask for" if parent == "None" else f"{name.replace('_', '-')} {version} needs"
        sides.append((asker, wants))
        held = base.get(str(package))
        if held is not None and not Requirement(wants).specifier.contains(held, prereleases=True):
            return Conflict(asker, wants, profile, held)
    if len(set(sides)) == 1:
        return NoWheel(sides[0][1])
    if sides:
        told = ", and ".join(f"{asker[:1].lower()}{asker[1:]} {wants}" for asker, wants in sides)
        return FixError(
            f"The packages exclude each other: {told}.",
            "Loosen the bounds of what you add, or leave one of them out.",
        )
    if re.search(r"No matching distribution|Could not find a version", output):
        wanted = re.search(r"No matching distribution found for ([^\s(]+)", output)
        return NoWheel(wanted.group(1) if wanted else "")
    return FixError(
        f"pip-tools could not resolve your packages: {masked(last_line(output))}",
        "`pip config list` shows the index that was asked.",
    )


class NoWheel(FixError):
    """No wheel of that requirement fits: it is not on the index, or is there as source only."""

    def __init__(self, requirement: str) -> None:
        self.requirement = requirement
        super().__init__(f"The package index has no wheel for {requirement} that this Python can install.")
