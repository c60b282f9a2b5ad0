"""What `envdoc fix --kernel` and `--no-kernel` do and say, and what becomes of the kernel on a rollback."""

from pathlib import Path
from typing import Callable, Optional

from envdoc.doctor.fix.generations import Generation, Generations
from envdoc.doctor.fix.kernel import (
    NAME,
    has_ipykernel,
    is_registered,
    kernel_file,
    register_kernel,
    unregister_kernel,
)

Announce = Callable[[str], None]


def kernel_lines(home: Path) -> str:
    """The part of the plan that lies outside envdoc's folder."""
    file = kernel_file()
    does = "is written again" if is_registered(home) else "is written"
    return (
        f"A Jupyter kernel `{NAME}`: `{file}` {does}, the only file outside envdoc's folder.\n"
        f"  It starts whatever generation is in use then; `envdoc fix --no-kernel --apply` removes it.\n"
    )


def add_kernel(home: Path, announce: Announce) -> None:
    """Write the kernel's file. The generation in use has ipykernel: the plan saw to that."""
    file = register_kernel(home)
    announce(f"Jupyter has the kernel `{NAME}` now (`{file}`).")


def remove_kernel(home: Path, apply: bool, announce: Announce) -> int:
    """Remove the kernel, or say what would be removed; the exit status."""
    if not is_registered(home):
        print("No Jupyter kernel of this envdoc folder is registered.")
        return 0
    if not apply:
        print(f"The Jupyter kernel `{NAME}` would be removed: `{kernel_file()}`.")
        announce("Nothing was changed. `envdoc fix --no-kernel --apply` does it.")
        return 0
    print(f"Removed the Jupyter kernel `{NAME}`: `{unregister_kernel(home)}`.")
    return 0


def follow_kernel(home: Path, current: Optional[Generation], announce: Announce) -> None:
    """After a rollback or a gc: without a generation the kernel goes; one without ipykernel is told of."""
    if not is_registered(home):
        return
    if current is None and Generations(home).current() is None:
        announce(f"Removed the Jupyter kernel `{NAME}`, which has no generation to start now.")
        unregister_kernel(home)
    elif current is not None and not has_ipykernel(current.folder):
        announce(
            f"`{current.name}` has no ipykernel, so that the Jupyter kernel `{NAME}` does not start in it. "
            "`envdoc fix --kernel --apply` builds one that has."
        )
