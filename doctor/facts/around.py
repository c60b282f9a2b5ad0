"""The surroundings of one target, put together from their collectors."""

from pathlib import Path
from typing import Mapping, Sequence

from envdoc.doctor.facts import leaks
from envdoc.doctor.facts import surrounding_limits as limits
from envdoc.doctor.facts.shadows import shadows
from envdoc.doctor.facts.snapshot import Interpreter, Package
from envdoc.doctor.facts.surroundings import Surroundings


def surroundings(
    told: Interpreter, packages: Sequence[Package], work: Path, environ: Mapping[str, str]
) -> Surroundings:
    """What may reach into the target from outside when a run starts in `work` with these variables."""
    return Surroundings(
        working_folder=str(work),
        shadows=shadows(told, packages, work, environ),
        stray_libraries=leaks.stray_libraries(environ, told.prefix),
        conda=leaks.conda_environment(environ),
        variable_names=leaks.variable_names(environ),
        accelerate=limits.accelerate_config(environ, _home(environ), packages),
        packages_changed_at=limits.packages_changed_at(packages),
        has_python_headers=limits.has_python_headers(told),
        processes_limit=limits.processes_limit(),
        cpu_quota=limits.cpu_quota(),
        **leaks.pip_on_path(environ),
    )


def _home(environ: Mapping[str, str]) -> Path:
    try:
        return Path(environ.get("HOME") or "~").expanduser()
    except RuntimeError:  # a container that runs as a number nobody has: there is no home
        return Path("/")
