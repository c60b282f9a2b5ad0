"""A real `apply` in a child that is killed at a given moment, and what must hold after it."""

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import fix_tools as tools

# Counts what changes the disk or starts a process, before it happens, and ends at the given one; with 0 it goes
# through and writes down what it counted. The interpreter that is examined must run what was installed.
CHILD = """
import json, os, pickle, signal, subprocess, sys
from pathlib import Path

plan_file, home, log, stop, whom = sys.argv[1:6]
stop, seen = int(stop), []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod",
           "subprocess.Popen", "fcntl.flock", "os.utime")

def watch(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & WRITES or str(path) == log:
            return
        seen.append(f"open {path}")
    elif event in CHANGES:
        seen.append(f"{event} {arguments[1] if event == 'os.rename' else arguments[0]}")
    else:
        return
    if "__pycache__" in seen[-1] and any("__pycache__" in one for one in seen[:-1]):
        seen.pop()  # a hundred links of compiled files are one moment
    elif len(seen) == stop:
        end()

def end():
    (os.killpg if whom == "group" else os.kill)(0 if whom == "group" else os.getpid(), signal.SIGKILL)

def healthy(python):
    subprocess.run([python, "-c", "import beta"], check=True)
    return []

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.fix.apply import apply, find_installer
from envdoc.doctor.fix.pip_installer import PipInstaller

import envdoc.doctor.fix.installer as tool
tool._PAUSES_SECONDS = (0.0, 0.0)  # between attempts
plan = pickle.loads(Path(plan_file).read_bytes())
installer = PipInstaller() if os.environ.get("TEST_INSTALLER") == "pip" else find_installer()
sys.addaudithook(watch)
try:
    apply(plan, Path(home), healthy, lambda line: print(line, flush=True), installer)
except EnvdocError as error:
    print(f"error: {error.message} | {error.hint}", flush=True)
    sys.exit(2)
except KeyboardInterrupt:
    print("stopped", flush=True)
    sys.exit(130)
if stop > len(seen):
    end()
Path(log).write_text(json.dumps(seen))
"""

# The whole command line; the machine's Pythons are the quick one, and the proof runs what was installed.
COMMAND = """
import subprocess, sys

from envdoc.doctor.cli import run
from envdoc.doctor.commands import fix
from envdoc.doctor.fix import pythons

minor, python, version, lock = sys.argv[1:]

def examiner(accepted, is_new=False):
    return lambda python: subprocess.run([python, "-c", "import beta"], check=True) and []

fix._examiner = examiner
pythons.available_pythons = lambda: (pythons.Python(minor, python, version),)
sys.exit(run(["fix", "--apply", "--yes", "--lock", lock]))
"""

# `python -m venv` by hard links from one that was made before: ensurepip's three seconds are not what is tested.
QUICK_VENV = """#!/bin/sh
for folder; do :; done
if [ "$1 $2" = "-m venv" ] && [ $# = 3 ]; then
    mkdir -p "$folder" && {{ cp -al "{template}/." "$folder/" 2>/dev/null || cp -a "{template}/." "$folder/"; }} &&
    sed -i "s|{template}|$folder|g" "$folder"/pyvenv.cfg "$folder"/bin/pip* "$folder"/bin/activate*
    exit
fi
exec "{python}" "$@"
"""


def quick_python(folder):
    """An interpreter like the tests' own whose `-m venv` takes milliseconds."""
    template = folder / "template"
    subprocess.run([tools.BASE, "-m", "venv", str(template)], check=True)
    python = folder / "python"
    python.write_text(QUICK_VENV.format(template=template, python=tools.BASE))
    python.chmod(0o755)
    return python


OWN = {
    "current",
    "envs",
    "locks",  # a user's lock, laid out for the installers
    "journal.jsonl",
    "lock",
    "install.log",
    "rate.json",
    "replaced.json",
    "wheels",  # of an interrupted download, to be resumed; the next switch removes them
}  # what may lie in envdoc's folder


def write_plan(profile, python, path):
    """A plan that builds this profile with that interpreter, as the child reads it."""
    choice = tools.choose(
        tools.Snapshot(), [tools.Python(tools.MINOR, str(python), sys.version.split()[0])], [profile]
    )
    plan = tools.make_plan([], choice, tools.Snapshot(), installer="uv")
    path.write_bytes(pickle.dumps(plan))
    return path


def start(plan_file, home, stop=0, whom="self", before=(), **environ):
    """A child that applies the plan; its output is in a pipe. `before` is put before its command line."""
    log = plan_file.with_suffix(".log")
    command = [*before, sys.executable, "-c", CHILD, str(plan_file), str(home), str(log), str(stop), whom]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environ},
        start_new_session=True,
    )


def start_command(lock, python, home):
    """`envdoc fix --apply --yes --lock FILE` in that home; its output goes nowhere."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, tools.MINOR, str(python), sys.version.split()[0], str(lock)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "ENVDOC_HOME": str(home)},
        start_new_session=True,
    )


def finish(plan_file, home, seconds=180, **more):
    """The same to its end: exit status and output."""
    child = start(plan_file, home, **more)
    output = child.communicate(timeout=seconds)[0].decode("utf-8", "replace")
    return child.returncode, output


def counted(plan_file):
    """What the last whole run counted."""
    return json.loads(plan_file.with_suffix(".log").read_text())


def digest(folder):
    """One hash of everything under the folder: names, kinds, permissions, contents and the ends of links."""
    told = hashlib.sha256()
    for place, folders, files in os.walk(str(folder)):
        folders.sort()
        for name in sorted([*files, *folders]):
            path = Path(place, name)
            status = path.lstat()
            line = f"{path.relative_to(folder)} {status.st_mode:o}\n"
            told.update(line.encode("utf-8", "surrogateescape"))
            if path.is_symlink():
                told.update(os.readlink(str(path)).encode())
            elif not path.is_dir():
                told.update(path.read_bytes())
    return told.hexdigest()


def imports(python, *names):
    """True where that interpreter starts and imports the modules from its own environment; it writes nothing."""
    code = f"import sys, {', '.join(names)}; assert {names[0]}.__file__.startswith(sys.prefix)"
    return 0 == subprocess.run([str(python), "-B", "-c", code], check=False).returncode


def nobody_in(folder, seconds=5.0):
    """True once no process works in that folder any more."""
    limit = time.monotonic() + seconds
    while tools.holders(folder):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def kilobytes(folder):
    """What a folder takes of a tmpfs, which gives every file whole pages of 4 KiB."""
    return sum(-(-path.lstat().st_size // 4096) * 4 for path in folder.rglob("*") if path.is_file())


def names(folder):
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def command(home, *words):
    """`envdoc WORDS` over that home: its exit status and standard output. Colours and width do not matter here."""
    program = Path(sys.executable).parent / "envdoc"
    done = subprocess.run(
        [str(program), *words],
        env={**os.environ, "ENVDOC_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def kill(child, whom):
    """SIGKILL for envdoc alone or for its whole process group, and wait for it."""
    if whom == "group":
        os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.communicate()
