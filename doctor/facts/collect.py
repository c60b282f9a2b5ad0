"""One snapshot of this machine and one interpreter: every collector runs, and none of them can end the others."""

import dataclasses
import os
import platform
import time
from pathlib import Path
from threading import Thread
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from envdoc.doctor.facts import (
    binaries,
    code_floors,
    constraints,
    extensions,
    gpu,
    interpreter,
    packages,
    records,
    remains,
    smi,
)
from envdoc.doctor.facts.around import surroundings
from envdoc.doctor.facts.driver import ask_libraries, driver
from envdoc.doctor.facts.driver_files import driver_files
from envdoc.doctor.facts.host import host
from envdoc.doctor.facts.jupyter import jupyter
from envdoc.doctor.facts.loading import loading
from envdoc.doctor.facts.named_things import named_things
from envdoc.doctor.facts.shell import shell
from envdoc.doctor.facts.snapshot import (
    CollectorError,
    Extensions,
    Interpreter,
    Package,
    Snapshot,
    from_json,
)
from envdoc.doctor.facts.storage import storage
from envdoc.doctor.facts.system import system
from envdoc.doctor.facts.toolkit import toolkit
from envdoc.doctor.facts.variables import variables
from envdoc.doctor.finding import Target
from envdoc.doctor.version import envdoc_version

LIMIT_SECONDS = 60.0  # a statvfs on a dead network disk never returns and cannot be stopped
Facts = Dict[str, Any]  # fields of Snapshot
Job = Callable[[], Facts]


def collect(
    target: Target,
    quick: bool = False,
    deep: bool = False,
    on_interpreter: Optional[Callable[[Interpreter], None]] = None,
) -> Snapshot:
    """Look at everything and judge nothing.

    With `quick` the driver is waited for 1.5 s instead of 15 s, and only the libraries of the training stack are
    compared with RECORD; with `deep` the contents of every installed file are. What a collector could not find out is a
    CollectorError in the snapshot; nothing is raised but KeyboardInterrupt. `on_interpreter` is called as soon as the
    target has said what it is, so that work can start there beside the rest.
    """
    environ: Mapping[str, str] = dict(os.environ)
    facts: Facts = {}
    errors: List[CollectorError] = []
    # These wait for a child, a disk or an import, while this thread waits for the target.
    beside: Tuple[Tuple[str, Job], ...] = (
        ("driver", lambda: _driver_facts(quick, environ)),
        ("toolkit", lambda: {"toolkit": toolkit(environ)}),
        ("storage", lambda: {"storage": storage(environ, _working_folder(environ))}),
        ("named", lambda: {"named": named_things(environ)}),
        ("version", lambda: {"envdoc_version": envdoc_version()}),
    )
    threads = [Thread(target=_run, args=(name, job, facts, errors), daemon=True) for name, job in beside]
    for thread in threads:
        thread.start()
    _run("host", lambda: {"host": host(environ)}, facts, errors)
    _run("variables", lambda: {"variables": variables(environ)}, facts, errors)
    _run("pci", lambda: {"pci_devices": gpu.pci_devices()}, facts, errors)
    _run("device nodes", lambda: {"device_nodes": gpu.device_nodes()}, facts, errors)
    facts.update(_environment_facts(target.path, environ, errors, quick, deep, on_interpreter))
    deadline = time.monotonic() + LIMIT_SECONDS
    for (name, _), thread in zip(beside, threads):
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            errors.append(CollectorError(name, f"It did not finish within {LIMIT_SECONDS:.0f} s."))
    return _printable(
        Snapshot(
            taken_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            target_reason=target.reason,
            errors=tuple(errors),
            **dict(facts),
        )
    )


def collect_machine() -> Snapshot:
    """The part of a quick snapshot that no target is asked for: driver, GPUs, system, variables. Tenths of a second."""
    environ: Mapping[str, str] = dict(os.environ)
    here = Interpreter(system=platform.system(), machine=platform.machine())
    facts: Facts = {"interpreter": here}
    errors: List[CollectorError] = []
    _run("driver", lambda: _driver_facts(True, environ), facts, errors)
    _run("host", lambda: {"host": host(environ)}, facts, errors)
    _run("variables", lambda: {"variables": variables(environ)}, facts, errors)
    _run("pci", lambda: {"pci_devices": gpu.pci_devices()}, facts, errors)
    _run("system", lambda: {"system": system(environ, here)}, facts, errors)
    taken_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return _printable(Snapshot(taken_at=taken_at, errors=tuple(errors), **facts))


def _run(name: str, job: Job, facts: Facts, errors: List[CollectorError]) -> None:
    try:
        facts.update(job())
    except Exception as error:  # whatever a machine does to one collector, the others stand
        errors.append(CollectorError(name, f"{type(error).__name__}: {error}"))


def _working_folder(environ: Mapping[str, str]) -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # somebody deleted it under us
        return Path(environ.get("PWD") or "/")


def _driver_facts(quick: bool, environ: Mapping[str, str] = os.environ) -> Facts:
    answers = ask_libraries(quick)
    found, gpus = driver(answers, quick), gpu.gpus(answers.gpus)
    told_nothing = not gpus and not found.nvml_version and not found.cuda
    if told_nothing and found.nvidia_smi:
        version, gpus, problem, cuda = smi.ask(found.nvidia_smi, quick)
        if version and not found.version:
            found = dataclasses.replace(found, version=version, source="nvidia-smi", cuda=cuda)
        if problem:
            found = dataclasses.replace(
                found, nvml_error="; ".join(filter(None, (found.nvml_error, problem)))
            )
    unmatched = tuple(answers.values.get("unmatched", ()))
    return {
        "driver": found,
        "gpus": gpus,
        "gpu_health": gpu.health(answers.health),
        "driver_files": driver_files(environ, unmatched),
    }


def _environment_facts(
    python: str,
    environ: Mapping[str, str],
    errors: List[CollectorError],
    quick: bool,
    deep: bool,
    on_interpreter: Optional[Callable[[Interpreter], None]],
) -> Facts:
    """What depends on the search path of the target."""
    facts: Facts = {}
    _run("interpreter", lambda: {"interpreter": interpreter.describe(python)}, facts, errors)
    told: Interpreter = facts.get("interpreter") or Interpreter(path=python)
    if on_interpreter is not None:
        on_interpreter(told)
    path = told.sys_path
    _run("packages", lambda: {"packages": packages.scan(path)}, facts, errors)
    installed: Tuple[Package, ...] = facts.get("packages", ())
    _run("records", lambda: {"integrity": records.integrity(path, quick, deep)}, facts, errors)
    _run("remains", lambda: {"remains": remains.remains(path, told.prefix, quick)}, facts, errors)
    _run("torch", lambda: {"torch": binaries.torch_build(path)}, facts, errors)
    _run("bitsandbytes", lambda: {"bitsandbytes": _bitsandbytes(path, installed)}, facts, errors)
    _run("extensions", lambda: {"extensions": _extensions(told, facts, environ, quick)}, facts, errors)
    _run("transformers", lambda: {"transformers": constraints.transformers_build(path)}, facts, errors)
    _run("jupyter", lambda: {"jupyter": jupyter(environ, told, installed)}, facts, errors)
    cuda = facts["torch"].cuda if facts.get("torch") else None
    _run("loading", lambda: {"loading": loading(told, environ, cuda or "")}, facts, errors)
    _run("shell", lambda: {"shell": shell(told, environ)}, facts, errors)
    versions = {package.name: package.version for package in reversed(installed)}
    _run("floors", lambda: {"code_floors": code_floors.code_floors(path, versions)}, facts, errors)
    _run("system", lambda: {"system": system(environ, told)}, facts, errors)
    work = _working_folder(environ)
    _run(
        "surroundings",
        lambda: {"surroundings": surroundings(told, installed, work, environ)},
        facts,
        errors,
    )
    return facts


def _extensions(told: Interpreter, facts: Facts, environ: Mapping[str, str], quick: bool) -> Extensions:
    torch = facts.get("torch")
    return extensions.extensions(
        told.sys_path,
        (told.prefix, told.base_prefix),
        told.version,
        torch.location if torch is not None and not torch.problem else "",
        environ,
        quick,
    )


def _bitsandbytes(path: Tuple[str, ...], installed: Tuple[Package, ...]) -> Any:
    package = next((p for p in installed if p.name == "bitsandbytes"), None)
    return binaries.bitsandbytes_build(path, (package.module_version or package.version) if package else "")


def _names_of_files(snapshot: Snapshot) -> Iterator[str]:
    """Those that were read from folders and from the headers of libraries."""
    for kernel in snapshot.jupyter.kernels:
        yield kernel.path + kernel.interpreter
    for one in snapshot.loading.overrides:
        yield one.soname + one.taken + one.instead_of + one.asked_by
    yield from (name for one in snapshot.shell.foreign_scripts for name in (one.interpreter, *one.examples))
    yield from (name for entry in snapshot.shell.python_path for name in (entry.path, *entry.compiled))


def _printable(snapshot: Snapshot) -> Snapshot:
    """The same, with `?` for bytes of file names and variables that are no UTF-8 and could not be written as JSON."""
    try:
        "".join(snapshot.variables.values()).encode()
        "".join((*snapshot.interpreter.sys_path, snapshot.interpreter.path)).encode()
        "".join(place.path for place in snapshot.storage).encode()
        "".join(_names_of_files(snapshot)).encode()
    except UnicodeEncodeError:
        return from_json(snapshot.to_json().encode("utf-8", "replace").decode())
    return snapshot
