"""Rules about Jupyter's kernels: the one that a new notebook starts, and those whose Python is gone."""

from pathlib import PurePosixPath
from typing import List

from envdoc.doctor.facts.snapshot import Kernel, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_interpreter, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule

_DEFAULT = "python3"  # jupyter_client's NATIVE_KERNEL_NAME: what a new notebook gets where nobody chooses


@rule("CFG071")
def default_kernel(machine: Snapshot) -> List[Problem]:
    """A new notebook starts `python3`, and that is another interpreter than the target."""
    require_interpreter(machine)
    jupyter, target = machine.jupyter, PurePosixPath(machine.interpreter.path)
    kernel = next((one for one in jupyter.kernels if one.name == _DEFAULT), None)
    if kernel is None:
        raise Skip("there is no kernel called python3")
    started = _started(kernel, machine)
    if not started or not (jupyter.inside or jupyter.version):
        raise Skip("nothing tells what the kernel python3 starts")
    own = {str(target.parent), machine.interpreter.prefix + "/bin"}
    if str(PurePosixPath(started).parent) in own or kernel.exists is False:
        return []
    others = [one for one in jupyter.kernels if one is not kernel]
    named = next((one.name for one in others if str(PurePosixPath(one.interpreter).parent) in own), "")
    if not named and version_of(machine, "ipykernel") is None:
        raise Skip("the target has no ipykernel, so nobody expects it in a notebook; see CFG023")
    register = f"{target} -m ipykernel install --user --name python3"
    return [
        Problem(
            {
                "started": shorten(started, 30),
                "target": str(target),
                "other": started,
                "path": kernel.path or kernel.name,
                "way": f"Choose the kernel `{named}` in the notebook's menu"
                if named
                else "Register the target under that name",
            },
            evidence=tuple(f"{one.name}: {one.interpreter} ({one.path})" for one in jupyter.kernels[:8]),
            affects=("notebooks",),
            severity=None if not named and (jupyter.inside or _serves(machine)) else Severity.INFO,
            commands=("jupyter kernelspec list",) if named else (register,),
        )
    ]


def _serves(machine: Snapshot) -> bool:
    """The target's own Jupyter is the one on PATH: whoever starts it means the target."""
    server = machine.jupyter.server_python
    own = str(PurePosixPath(machine.interpreter.path).parent)
    return bool(server) and str(PurePosixPath(server).parent) in (own, machine.interpreter.prefix + "/bin")


def _started(kernel: Kernel, machine: Snapshot) -> str:
    """The interpreter: Jupyter puts its own for a bare `python` (jupyter_client, provisioning)."""
    if PurePosixPath(kernel.interpreter).is_absolute():
        return kernel.interpreter
    return machine.jupyter.server_python if kernel.interpreter.startswith("python") else ""


@rule("CFG072")
def kernel_gone(machine: Snapshot) -> List[Problem]:
    """A kernel is registered whose interpreter is not there."""
    require_interpreter(machine)
    told = [one for one in machine.jupyter.kernels if one.exists is not None]
    if not told:
        raise Skip("no Jupyter kernel names an interpreter")
    is_used = bool(machine.jupyter.inside or machine.jupyter.version or machine.jupyter.server_python)
    return [
        Problem(
            {
                "name": shorten(one.name, 24),
                "interpreter": one.interpreter,
                "path": one.path,
                "target": machine.interpreter.path,
            },
            evidence=(one.path,),
            affects=("notebooks",),
            # the one that a new notebook starts is everybody's; another may be a leftover
            severity=None if is_used and (one.name == _DEFAULT or len(told) == 1) else Severity.INFO,
            commands=(f"jupyter kernelspec uninstall {one.name}",),
        )
        for one in told
        if not one.exists
    ]
