"""A machine with a training environment that a fault may break: a clone, variables, files of the system, a shell.

The clone shares every file with a healthy environment by links until `own` makes one its own: making it costs
milliseconds, on any file system, and nothing that is done to it reaches the original.
"""

import atexit
import base64
import hashlib
import os
import re
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Optional, Sequence

import fakes

# What the wheel of torch 2.13.0 for CUDA 13.0 was compiled for (read from its libtorch_python.so).
CUDA_13_KERNELS = "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120"
CUDA_118_KERNELS = "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_37 sm_90"  # of torch 2.1 for CUDA 11.8
_ASSIGNED = re.compile(r"^((?:__)?version(?:__)?\b[^=\n]*=\s*)(['\"]).*?\2", re.MULTILINE)


class Clone:
    """A virtual environment in `folder` that looks like the one of `python`."""

    def __init__(self, python: Path, folder: Path):
        original = python.parent.parent
        folder.mkdir(parents=True)
        _share(original, folder)
        self.folder = folder
        self.own("bin").joinpath("python").unlink()
        (folder / "bin" / "python").symlink_to(python.resolve())
        self.own("pyvenv.cfg")
        self.python = folder / "bin" / "python"
        relative = next((original / "lib").glob("python3.*/site-packages")).relative_to(original)
        self.site = self.own(str(relative))
        for distribution in self.site.glob("*.dist-info"):
            self.own(str(distribution.relative_to(folder)))  # uv passes over one that is a link

    def own(self, name: str) -> Path:
        """The path below the clone as its own: folders hold links to what was in them, a file is a copy."""
        path = self.folder
        for part in Path(name).parts:
            path = path / part
            if not path.is_symlink():
                continue
            target = path.resolve()
            path.unlink()
            if target.is_dir():
                path.mkdir()
                _share(target, path)
            else:
                shutil.copy2(target, path)
        return path

    def package(self, name: str) -> Path:
        """A file or folder of site-packages, as the clone's own."""
        return self.own(str((self.site / name).relative_to(self.folder)))

    def write(self, name: str, text: str) -> Path:
        """A file of site-packages with that text."""
        self.package(str(Path(name).parent))
        path = self.site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        return path

    def remove(self, name: str) -> None:
        """Take a file or folder of site-packages away, as `rm -r` would."""
        self.package(str(Path(name).parent))
        path = self.site / name
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            shutil.rmtree(path)

    def cut(self, name: str, size_bytes: int) -> None:
        """A file of site-packages cut short, as by a disk that was full."""
        self.package(str(Path(name).parent))
        path = self.site / name
        with path.resolve().open("rb") as file:
            beginning = file.read(size_bytes)
        path.unlink()
        path.write_bytes(beginning)

    def file(self, pattern: str) -> str:
        """The name of the one file of site-packages that fits, relative to it."""
        found = sorted(self.site.glob(pattern))
        assert found, f"The environment has no {pattern}."
        return str(found[0].relative_to(self.site))

    def distribution(self, name: str) -> str:
        """The name of a package's *.dist-info folder."""
        wanted = re.sub(r"[-_.]+", "-", name).lower()
        for path in sorted(self.site.glob("*.dist-info")):
            if re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower() == wanted:
                return path.name
        raise AssertionError(f"The environment has no {name}.")

    def uninstall(self, name: str) -> None:
        """What `pip uninstall` does: all that RECORD names within site-packages."""
        folder = self.distribution(name)
        tops = {
            row.split(",")[0].split("/")[0] for row in (self.site / folder / "RECORD").read_text().split("\n")
        }
        for top in tops - {"", "..", "__pycache__"}:
            if (self.site / top).exists():
                self.remove(top)

    def install(
        self,
        name: str,
        version: str,
        requires: Iterable[str] = (),
        files: Mapping[str, str] = {},
        headers: Iterable[str] = (),
        tag: str = "py3-none-any",
    ) -> None:
        """A small package with a whole dist-info, as pip leaves it."""
        module = name.replace("-", "_")
        folder = f"{module}-{version}.dist-info"
        lines = [
            f"Name: {name}",
            f"Version: {version}",
            *headers,
            *(f"Requires-Dist: {line}" for line in requires),
        ]
        contents = {
            **(files or {f"{module}/__init__.py": f'__version__ = "{version}"\n'}),
            f"{folder}/METADATA": "Metadata-Version: 2.1\n" + "\n".join(lines) + "\n\n",
            f"{folder}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
            f"{folder}/INSTALLER": "pip\n",
        }
        rows = [_row(file, self.write(file, text)) for file, text in contents.items()]
        self.write(f"{folder}/RECORD", "\n".join([*rows, f"{folder}/RECORD,,"]) + "\n")

    def release(self, name: str, version: str, requires: Optional[Sequence[str]] = None) -> None:
        """The same package as another release: metadata, code and RECORD agree on it."""
        old = self.distribution(name)
        new = f"{old.split('-')[0]}-{version}.dist-info"
        self.package(old).rename(self.site / new)
        self.headers(name, "Version", [version])
        if requires is not None:
            self.headers(name, "Requires-Dist", requires)
        module = old.split("-")[0]
        for file in (f"{module}/__init__.py", f"{module}/_version.py", f"{module}/version.py"):
            if (self.site / file).is_file():
                text = (self.site / file).read_text()
                changed = _ASSIGNED.sub(rf'\1"{version}"', text)
                if changed != text:
                    self.write(file, changed)
        record = self.package(f"{new}/RECORD")
        record.write_text(record.read_text().replace(old + "/", new + "/"))
        self.settle(name)

    def headers(self, name: str, key: str, values: Iterable[str]) -> None:
        """Other values for one header of a package's METADATA."""
        path = self.package(f"{self.distribution(name)}/METADATA")
        head, empty, body = path.read_text("utf-8").partition("\n\n")
        kept = [line for line in head.split("\n") if not line.startswith(key + ":")]
        path.write_text("\n".join([*kept, *(f"{key}: {value}" for value in values)]) + empty + body, "utf-8")
        self.settle(name)

    def settle(self, name: str) -> None:
        """Bring a package's RECORD in line with its files: the change was no fault."""
        record = self.package(f"{self.distribution(name)}/RECORD")
        rows: List[str] = []
        shared = {self.site: False}  # whether a folder is the original's
        for row in record.read_text().splitlines():
            file = row.split(",")[0].strip('"')
            path = self.site / file
            if file.startswith("..") or _is_shared(path.parent, shared) or path.is_symlink():
                rows.append(row)
            elif path.exists():
                rows.append(row if path == record else _row(file, path))
        record.write_text("\n".join(rows) + "\n")


class Box:
    """A clone of a healthy environment, and around it a machine of which every part can be broken."""

    def __init__(self, python: Path, folder: Path):
        self.folder = folder
        self.clone = Clone(python, folder / "env")
        self.root = fakes.machine(folder / "root")
        self.home, self.work = folder / "home", folder / "work"
        for path in (self.home, self.work):
            path.mkdir()
        self.limits: Dict[str, int] = {}  # ulimit's letter to its value
        self.arguments: List[str] = []  # of `envdoc check`, beside the usual ones
        self.environ: Dict[str, str] = {
            "PATH": os.pathsep.join((str(self.clone.folder / "bin"), "/usr/local/bin", "/usr/bin", "/bin")),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "ENVDOC_HOME": str(folder / "envdoc"),
            **fakes.no_driver_variables(self.root),
        }

    def gpu(self, *cards: str, driver: str = "580.95.05", cuda: int = 13000, **variables: str) -> None:
        """A driver that answers, with those GPUs."""
        self.environ.update(fakes.driver_variables(cards or (fakes.H100,), driver, cuda), **variables)
        fakes.machine(self.root, driver=driver)

    def cuda_torch(
        self, version: str = "2.13.0+cu130", cuda: str = "13.0", kernels: str = CUDA_13_KERNELS, hip: str = ""
    ) -> None:
        """torch as a wheel for that CUDA leaves it: version.py, libraries and the list of its kernels."""
        clone = self.clone
        clone.release("torch", version.split("+")[0])
        values = f"__version__ = {version!r}\ncuda = {cuda or None!r}\nhip = {hip or None!r}\n"
        clone.write("torch/version.py", values)
        libraries = clone.package("torch/lib")
        for name in ("libtorch_python.so", "libtorch_cuda.so", "libc10_cuda.so"):
            (libraries / name).unlink(missing_ok=True)
            shutil.copy(_library(kernels), libraries / name)
        clone.settle("torch")

    def gpu_machine(self, *cards: str, **told: str) -> None:
        """A healthy GPU machine: an H100, driver 580 and a torch for CUDA 13.0."""
        self.gpu(*cards, **told)
        self.cuda_torch()

    def command(self, *arguments: str) -> List[str]:
        """The command line that runs those arguments under this machine's limits."""
        limits = "".join(f"ulimit -{letter} {value}; " for letter, value in self.limits.items())
        return ["/bin/sh", "-c", limits + 'exec "$@"', "sh", *arguments] if limits else list(arguments)


@lru_cache(maxsize=None)
def _library(text: str) -> Path:
    """A shared library with that text in its data, compiled once a process."""
    folder = Path(tempfile.mkdtemp(prefix="envdoc-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return fakes.shared_library(folder / "library.so", strings=[text])


def _share(source: Path, target: Path) -> None:
    for entry in os.scandir(source):
        if entry.name != "__pycache__":
            (target / entry.name).symlink_to(os.path.realpath(entry.path))


def _is_shared(folder: Path, known: Dict[Path, bool]) -> bool:
    if folder not in known:
        known[folder] = _is_shared(folder.parent, known) or folder.is_symlink()
    return known[folder]


def _row(name: str, path: Path) -> str:
    data = path.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"
