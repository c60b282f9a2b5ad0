"""Rules about what a shell starts: launchers, the python on PATH, scripts of a copied environment, PYTHONPATH."""

from pathlib import PurePosixPath
from typing import List

from envdoc.doctor.facts.snapshot import Launcher, PathEntry, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_interpreter, shorten, version_of
from envdoc.doctor.rules.packages import WATCHED
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.shadows import import_names

# What starts a run, by the distribution that brings it; the rest opens notebooks or downloads, and is often a tool
# of its own (`uv tool install`, `pipx`).
_INSTALLED = {"pip", "pip3", "accelerate", "torchrun", "hf", "huggingface-cli", "jupyter", "ipython"}
_STARTS_RUNS = {"accelerate": "accelerate", "torchrun": "torch", "deepspeed": "deepspeed"}


def is_active(machine: Snapshot) -> bool:
    """The shell is set up for the target: its python comes first, or VIRTUAL_ENV names it."""
    virtual = machine.variables.get("VIRTUAL_ENV", "").rstrip("/")
    return _starts_target(machine) or bool(virtual and virtual == machine.interpreter.prefix)


def _starts_target(machine: Snapshot) -> bool:
    """The first python on PATH is the target's."""
    first = machine.surroundings.path_python
    return bool(first) and (_is_own(first, machine) or bool(machine.shell.python_is_targets))


def _is_own(path: str, machine: Snapshot) -> bool:
    """A file among the target's programs, or among those of the Python that the target was made from."""
    folder = str(PurePosixPath(path).parent)
    own = {str(PurePosixPath(machine.interpreter.path).parent), machine.interpreter.prefix + "/bin"}
    return folder in own or ({folder} | own) <= {"/bin", "/usr/bin"}


@rule("CFG063")
def launcher_of_another_python(machine: Snapshot) -> List[Problem]:
    """`accelerate` or `torchrun` on PATH runs on another Python than the active one, which has its own package."""
    require_interpreter(machine)
    launchers = machine.shell.launchers
    if not launchers:
        raise Skip("PATH has no launcher")
    if not is_active(machine):
        raise Skip("the target is not the Python of this shell")
    wrong = [
        one
        for one in launchers
        if one.name in _STARTS_RUNS
        and one.interpreter
        and not (one.is_targets or _is_own(one.path, machine) or _is_own(one.interpreter, machine))
        and version_of(machine, _STARTS_RUNS[one.name]) is not None
    ]
    if not wrong:
        return []
    first = wrong[0]
    target = machine.interpreter.path
    return [
        Problem(
            {
                "name": " and ".join(one.name for one in wrong[:2]),
                "path": first.path,
                "other": first.interpreter,
                "target": target,
                "fate": "what it starts is that Python, with its packages"
                if first.is_there
                else "that Python is not there, so that it does not start at all",
            },
            evidence=tuple(f"{one.path} runs {one.interpreter}" for one in wrong),
            affects=tuple(one.name for one in wrong),
            commands=tuple(_start(one, target) for one in wrong),
        )
    ]


def _start(one: Launcher, target: str) -> str:
    if one.own:
        return f"{one.own} --help"
    module = {"accelerate": "accelerate.commands.accelerate_cli", "torchrun": "torch.distributed.run"}
    return f"{target} -m {module.get(one.name, 'deepspeed.launcher.runner')} --help"


@rule("CFG064")
def another_python_first(machine: Snapshot) -> List[Problem]:
    """VIRTUAL_ENV names the target, and `python` starts another one."""
    require_interpreter(machine)
    virtual = machine.variables.get("VIRTUAL_ENV", "").rstrip("/")
    first, prefix = machine.surroundings.path_python, machine.interpreter.prefix
    if not virtual or virtual != prefix or not first:
        raise Skip("VIRTUAL_ENV does not name the target, or PATH has no python")
    if _starts_target(machine):
        return []
    return [
        Problem(
            {"first": first, "prefix": prefix},
            evidence=(f"VIRTUAL_ENV={virtual}", f"python on PATH: {first}"),
            affects=("python", "pip"),
            commands=(f'export PATH={prefix}/bin:"$PATH"',),
        )
    ]


@rule("CFG065")
def virtual_env_of_another(machine: Snapshot) -> List[Problem]:
    """The target is first on PATH, and VIRTUAL_ENV names another environment or one that is gone."""
    require_interpreter(machine)
    virtual = machine.variables.get("VIRTUAL_ENV", "").rstrip("/")
    first = machine.surroundings.path_python
    if not virtual or not first or machine.shell.virtual_env_exists is None:
        raise Skip("VIRTUAL_ENV is not set, or PATH has no python")
    if virtual == machine.interpreter.prefix or not _starts_target(machine):
        return []
    is_gone = not machine.shell.virtual_env_exists
    return [
        Problem(
            {
                "virtual": shorten(virtual, 34) if is_gone else virtual,
                "short": shorten(virtual, 24),
                "what": "an environment that is gone" if is_gone else "another environment",
                "first": first,
                "consequence": "uv makes it anew or stops, and editors show it as the active one"
                if is_gone
                else "`uv pip install` and editors go by the variable, and `python` by PATH",
            },
            evidence=(f"VIRTUAL_ENV={virtual}", f"python on PATH: {first}"),
            affects=("uv", "pip"),
            severity=Severity.INFO if is_gone else None,
            commands=("unset VIRTUAL_ENV",),
        )
    ]


@rule("CFG066")
def environment_moved(machine: Snapshot) -> List[Problem]:
    """The programs of a virtual environment run on an interpreter elsewhere: it was moved or copied."""
    require_interpreter(machine)
    if not machine.interpreter.is_virtual_environment:
        raise Skip("the target is no virtual environment")
    scripts = machine.shell.foreign_scripts
    gone = [one for one in scripts if not one.is_there]
    total = sum(one.count for one in scripts)
    prefix, written = machine.interpreter.prefix, machine.shell.activate_prefix.rstrip("/")
    moved = bool(written) and written != prefix.rstrip("/")
    # One program of another Python may be somebody's own script, or lie so in its wheel; a whole folder does not.
    lost = [name for one in gone for name in one.examples]
    broken = len(lost) >= 3 or bool(_INSTALLED & set(lost))
    if not broken and (total < 3 or not moved):
        return []
    gone = gone if broken else []
    first = (gone or list(scripts))[0]
    fate = (
        "is not there: they end with `bad interpreter` or `No such file`"
        if gone
        else "belongs to another environment: `pip install` installs there"
    )
    return [
        Problem(
            {
                "count": sum(one.count for one in (gone or scripts)),
                "prefix": prefix,
                "interpreter": first.interpreter,
                "fate": fate,
                "word": "that is gone" if gone else "of another environment",
                "examples": ", ".join(first.examples),
            },
            evidence=tuple(f"{one.interpreter}: {', '.join(one.examples)}" for one in scripts)
            + ((f"bin/activate sets VIRTUAL_ENV={written}",) if moved else ()),
            affects=first.examples,
            severity=None if gone else Severity.INFO,
            commands=(f"{machine.interpreter.path} -m pip --version",),
        )
    ]


@rule("CFG067")
def path_of_another_version(machine: Snapshot) -> List[Problem]:
    """PYTHONPATH leads to packages that were installed for another version of Python."""
    require_interpreter(machine)
    short = ".".join(machine.interpreter.version.split(".")[:2])
    if not short or not machine.shell.python_path:
        raise Skip("PYTHONPATH is not set")
    return [
        _version_problem(machine, entry, short)
        for entry in machine.shell.python_path
        if entry.exists and entry.python and entry.python != short
    ]


def _version_problem(machine: Snapshot, entry: PathEntry, short: str) -> Problem:
    breaks = [name for name in entry.compiled if name in import_names(machine)]
    reason = (
        f"The compiled modules of {', '.join(breaks[:4])} there cannot be loaded, and they come first"
        if breaks
        else "Compiled modules there cannot be loaded, and the rest may be of an old release"
    )
    is_named = entry.python in entry.path  # else it is a compiled module of a checkout
    return Problem(
        {"python": entry.python, "here": short, "path": entry.path, "reason": reason},
        evidence=(f"PYTHONPATH: {entry.path}", *entry.compiled[:6]),
        affects=tuple(breaks) or ("imports",),
        severity=Severity.ERROR if breaks else None if is_named else Severity.INFO,
    )


@rule("CFG068")
def path_leads_nowhere(machine: Snapshot) -> List[Problem]:
    """PYTHONPATH names a folder that is not there."""
    require_interpreter(machine)
    gone = [entry.path for entry in machine.shell.python_path if not entry.exists]
    if not gone:
        return []
    return [
        Problem(
            {"path": shorten(gone[0], 30), "paths": ", ".join(gone[:4])},
            evidence=tuple(gone[:8]),
            affects=("imports",),
        )
    ]


@rule("CFG069")
def python_home(machine: Snapshot) -> List[Problem]:
    """PYTHONHOME, or what PYTHONPATH holds, keeps the target from starting or gives it another Python's library."""
    require_interpreter(machine)
    home, error = machine.variables.get("PYTHONHOME", ""), machine.shell.start_error
    path = machine.variables.get("PYTHONPATH", "")
    own = (machine.interpreter.prefix, machine.interpreter.base_prefix)
    is_own = not error and home.rstrip("/") in [prefix.rstrip("/") for prefix in own]
    if is_own or (not home and not (error and path)):
        return []
    name, value = ("PYTHONHOME", home) if home else ("PYTHONPATH", path)
    fate = (
        f"With it the target does not start: {error}"
        if error
        else "The target takes its standard library and its packages from there, and not from its own folder"
    )
    return [
        Problem(
            {
                "name": name,
                "value": shorten(value, 26),
                "does": "keeps the target from starting" if error else "leads the target to another Python",
                "fate": fate,
            },
            evidence=(f"{name}={value}", *((error,) if error else ())),
            affects=("everything in the target",),
            severity=Severity.ERROR if error else None,
            commands=(f"unset {name}",),
        )
    ]


@rule("CFG075")
def user_site_mixed_in(machine: Snapshot) -> List[Problem]:
    """Part of the training stack lies in the user's own site-packages, and part in the target's."""
    require_interpreter(machine)
    told = machine.interpreter
    if not told.user_site_enabled or not told.user_site:
        raise Skip("the user's own site-packages is not on the search path")
    stack = [package for package in machine.packages if package.name in WATCHED]
    mine = [package for package in stack if package.location == told.user_site]
    others = [package for package in stack if package.location != told.user_site]
    if not mine or not others:
        return []
    return [
        Problem(
            {
                "count": len(mine),
                "first": mine[0].name,
                "other": others[0].name,
                "user_site": told.user_site,
                "place": others[0].location,
                "python": told.path,
            },
            evidence=tuple(f"{one.name} {one.version} in {one.location}" for one in (*mine[:6], *others[:6])),
            affects=tuple(one.name for one in mine),
        )
    ]


@rule("CFG070")
def customised_from_outside(machine: Snapshot) -> List[Problem]:
    """A sitecustomize or usercustomize from outside runs at every start of the target."""
    require_interpreter(machine)
    return [
        Problem(
            {"name": PurePosixPath(path).name.replace("__init__.py", "sitecustomize"), "path": path},
            evidence=(path,),
            affects=("every start of Python",),
        )
        for path in machine.shell.customisation
    ]
