"""An environment and a machine that are as bad as they can be: the check ends, soon, with a report."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fakes
import pytest

HEAD = b"Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n"
FILES = ("METADATA", "RECORD", "direct_url.json", "INSTALLER", "WHEEL", "top_level.txt", "entry_points.txt")


@pytest.fixture
def site(tmp_path):
    """The site-packages of an environment without anything in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    return next((tmp_path / "env").glob("lib/python*/site-packages"))


@pytest.fixture
def judged(envdoc, tmp_path):
    """A function that runs `check --quick` on that environment and returns its checks by code."""

    def run(*arguments, env=None, **options):
        variables = {**os.environ, **fakes.no_driver_variables(tmp_path / "root"), **(env or {})}
        started = time.monotonic()
        command = ("check", "--quick", "--python", tmp_path / "env", "--format", "json", *arguments)
        done = envdoc(*command, env=variables, **{"timeout": 60, **options})
        assert (1, "") == (done.returncode, done.stderr), done.stderr
        assert time.monotonic() - started < 30
        checks = json.loads(done.stdout)["checks"]
        assert [] == [
            c for c in checks if c["status"] == "crashed" or (c["code"] == "CFG110" and c["status"] == "fail")
        ]
        return {check["code"]: check for check in checks}

    return run


def distribution(site, name, metadata=None, **files):
    """A dist-info folder; without metadata there is no such file yet."""
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir()
    if metadata is not None:
        (folder / "METADATA").write_bytes(metadata)
    for file, data in files.items():
        (folder / file.replace("__", ".")).write_bytes(data)
    return folder


def test_metadata_that_never_ends_or_says_anything(site, judged):
    """Huge, endless, binary, absurd: one run over all of it, with the damaged ones told by name."""
    distribution(site, "long", b"Name: " + b"n" * 20_000_000)
    with (distribution(site, "big", b"") / "METADATA").open("wb") as file:
        file.write(HEAD % b"big")
        file.truncate(100_000_000)  # a hole of 100 MB reads as NULs
    distribution(site, "nul", b"Name: n\0l\nVersion: 1\0\nRequires-Dist: a\0b\n")
    distribution(site, "bytes", b"Name: \xff\xfe\nVersion: \xff\n")
    distribution(site, "many", HEAD % b"many" + b"Requires-Dist: foo>=1\n" * 300_000)
    hard = b"a" * 5000 + b" (" + b">=1," * 5000 + b"\nRequires-Dist: x; " + b"(" * 3000
    hard += b"\nRequires-Python: " + b"!=1.*," * 5000 + b"\nRequires-Dist: torch" + b"[" * 9000
    distribution(site, "hard", HEAD % b"hard" + b"Requires-Dist: " + hard + b"\n")
    distribution(site, "deep", HEAD % b"deep", direct_url__json=b'{"editable":' + b"[" * 100_000)
    lies = (
        b"../../../../etc/passwd,sha256=x,3\n/dev/zero,sha256=x,10\n\0,,\n\xff,,\n" + b"a/" * 50_000 + b",,\n"
    )
    distribution(site, "lies", HEAD % b"lies", INSTALLER=b"pip", RECORD=lies)
    count = b"".join(b"count/%d.py,sha256=x,%d\n" % (i, 10**30) for i in range(50_000))
    distribution(site, "count", HEAD % b"count", INSTALLER=b"pip", RECORD=count)

    checks = judged()

    assert "fail" == checks["PKG005"]["status"]
    assert {"n-l"} <= set(" ".join(checks["PKG005"]["affects"]).split()) or checks["PKG005"]["evidence"]


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "zero"])
def test_no_file_where_a_file_should_be(kind, site, judged):
    """A named pipe never answers, /dev/zero never ends: nothing of it is waited for."""
    make = {
        "pipe": os.mkfifo,
        "folder": os.mkdir,
        "loop": lambda path: path.symlink_to(path.name),
        "zero": lambda path: path.symlink_to("/dev/zero"),
    }[kind]
    folder = distribution(site, "odd")
    for name in FILES:
        make(folder / name)
    for name in ("torch", "transformers", "bitsandbytes"):
        distribution(site, name, HEAD % name.encode())
        (site / name / "lib").mkdir(parents=True)
        for inner in (
            "version.py",
            "dependency_versions_table.py",
            "lib/libtorch_python.so",
            "libbitsandbytes_cuda130.so",
        ):
            make(site / name / inner)
    checks = judged()

    assert ["fail", "fail"] == [checks[code]["status"] for code in ("PKG005", "TOR002")]


def test_names_that_would_run_or_be_obeyed(site, judged):
    """A package called like a command is in no command; one called like an escape sequence is not obeyed."""
    distribution(
        site,
        "one",
        b"Name: evil; touch x $(id) `id` \x1b[2J\nVersion: 1.0; reboot\nRequires-Dist: absent>=2\n",
    )
    distribution(site, "two\x1b[2J\n\u202e", b"Requires-Dist: gone\n")
    (site / os.fsdecode(b"\xff\xfe-1.0.dist-info")).mkdir()
    (site / os.fsdecode(b"\xfe.py")).touch()
    (site / os.fsdecode(b"\xfd.pth")).write_bytes(b"/no/\xff\n" + b"/x" * 100_000 + b"\n/no\n" * 20_000)

    commands = [line for check in judged().values() for line in check["fix"]["commands"]]

    assert [] == [
        line for line in commands if any(part in line for part in (";", "$(", "`", "\x1b", "touch x"))
    ]


def test_unreadable_settings(site, judged, tmp_path):
    """pip's, Jupyter's and accelerate's settings and pyvenv.cfg as pipes, binary and nonsense."""
    home = tmp_path / "home"
    for folder in (
        ".config/pip",
        ".cache/huggingface/accelerate",
        ".local/share/jupyter/kernels/a",
        ".local/share/jupyter/kernels/b",
    ):
        (home / folder).mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_bytes(b"[global\n\xff\0=\n" * 1000)
    (home / ".cache/huggingface/accelerate/default_config.yaml").write_bytes(
        b"a: &a [*a]\n" * 10_000 + b"\xff\0" + b"[" * 50_000
    )
    (home / ".local/share/jupyter/kernels/a/kernel.json").write_bytes(b"[" * 100_000)
    os.mkfifo(home / ".local/share/jupyter/kernels/b/kernel.json")
    with (tmp_path / "env" / "pyvenv.cfg").open("ab") as file:
        file.write(b"\xff\xfe\0 = \0\nprompt = \x1b[2J\n" + b"x" * 1_000_000)

    judged(env={"HOME": str(home), "XDG_CACHE_HOME": "", "HF_HOME": ""})


def test_a_bare_machine(site, judged, tmp_path):
    """No /proc entries, no HOME, no PATH, no place for temporary files, no readable folder: still a report."""
    (tmp_path / "root").mkdir()
    closed = distribution(site, "closed", HEAD % b"closed")
    closed.chmod(0)
    variables = {"TMPDIR": "/nonexistent", "PATH": "", "HOME": ""}

    try:
        checks = judged(env=variables)
        del variables["HOME"]
    finally:
        closed.chmod(0o700)

    assert "fail" == checks["TOR001"]["status"]


def test_a_working_folder_that_is_gone(site, judged, tmp_path):
    """Somebody deleted it under us."""
    (tmp_path / "gone").mkdir()
    script = 'cd gone && rmdir ../gone && exec "$@"'
    envdoc = Path(sys.executable).parent / "envdoc"
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(envdoc), "check", "--quick", "--python", str(tmp_path / "env")],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (1, "") == (done.returncode, done.stderr)
    assert "TOR001" in done.stdout


@pytest.mark.parametrize("name", ["envdoc.toml", "pyproject.toml"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "binary", "deep"])
def test_hostile_suppressions(name, kind, envdoc, tmp_path):
    """One sentence and exit code 2, soon; a pyproject.toml without our name in it is somebody else's."""
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"\xff\xfeenvdoc\0" if kind == "binary" else b"envdoc = " + b"[" * 50_000)
    machine = Path(__file__).resolve().parents[1] / "snapshots" / "cpu.json"

    done = envdoc("check", "--facts", machine, timeout=30)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(f"error: {name} ")
    assert "Traceback" not in done.stderr


SMI = {
    "hangs": "sleep 600",
    "is not UTF-8": "printf '\\377\\376 NVIDIA-SMI \\000\\n'; exit 0",
    "never ends": "yes '580.95.05, NVIDIA H100, 9.0'",
    "is killed": "kill -BUS $$",
    "prints escapes": "printf '\\033[2J580.1, \\033]0;x\\007, 9.0\\n'",
}


@pytest.mark.parametrize("case", SMI)
def test_a_driver_tool_that_misbehaves(case, site, judged, tmp_path):
    """Its time and its output are limited."""
    tools = fakes.program(tmp_path / "bin", "nvidia-smi", SMI[case]).parent

    judged(env={"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"})


def test_ten_thousand_packages(site, judged):
    """They are all looked at, in seconds."""
    if shutil.disk_usage(site).free < 1 << 30:
        pytest.skip("less than 1 GB free")
    for number in range(10_000):
        name = f"package-{number}"
        folder = site / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_bytes(
            (HEAD % name.encode()) + b"Requires-Dist: package-%d\n" % ((number + 1) % 10_001)
        )

    assert "fail" == judged()["PKG008"]["status"]
