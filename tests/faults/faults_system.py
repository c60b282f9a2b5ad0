"""Faults of the machine around the environment: limits, mounts, the interpreter itself."""

import fakes
from fault import fault


@fault("S04", "SYS003", says=["noexec"])
def tmp_without_execution(box):
    """TMPDIR lies on a mount with noexec."""
    folder = box.folder / "tmp"
    folder.mkdir()
    box.environ["TMPDIR"] = str(folder)
    mounts = f"/dev/vda / ext4 rw 0 0\ntmpfs {folder.resolve()} tmpfs rw,nosuid,noexec 0 0\n"
    fakes.machine(box.root, {"/proc/self/mounts": mounts})


@fault("S08", "SYS006", says=["ulimit", "address space"])
def address_space_limit(box):
    """ulimit -v leaves 2 GB of address space."""
    box.limits["v"] = 2_000_000


@fault("S10", "SYS008", says=["locale", "ASCII"])
def ascii_locale(box):
    """LC_ALL=POSIX with Python's UTF-8 mode off."""
    box.environ.update(LC_ALL="POSIX", PYTHONUTF8="0", PYTHONIOENCODING="ascii", PYTHONCOERCECLOCALE="0")


@fault("S30", "SYS007", says=["open files"])
def few_open_files(box):
    """ulimit -n allows 64 open files."""
    box.limits["n"] = 64


@fault("S31", "SYS005", says=["memory limit", "little memory"])
def control_group_of_two_gigabytes(box):
    """The container may use 2 GB of memory."""
    files = {
        "/proc/self/cgroup": "0::/\n",
        "/sys/fs/cgroup/memory.max": f"{2 << 30}\n",
        "/proc/meminfo": "MemTotal:       65843220 kB\n",
    }
    fakes.machine(box.root, files)


@fault("S32", "CFG001", says=["Python"])
def interpreter_fails(box):
    """The environment's python ends with status 127: the Python it was made from is gone."""
    (box.clone.folder / "bin/python").unlink()
    fakes.program(
        box.clone.folder / "bin", "python", "echo 'error while loading shared libraries' >&2; exit 127"
    )


@fault("S33", "CFG001", says=["Python"])
def interpreter_prints_garbage(box):
    """The environment's python is a wrapper that prints a banner and nothing else."""
    (box.clone.folder / "bin/python").unlink()
    fakes.program(box.clone.folder / "bin", "python", "echo 'Welcome to the cluster'")
