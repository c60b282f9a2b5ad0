"""Pipes, terminals, encodings and full disks: the document arrives whole, or one sentence says why not."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from envdoc.doctor.report import FORMATS

ENVDOC = str(Path(sys.executable).parent / "envdoc")
MACHINE = Path(__file__).resolve().parents[1] / "snapshots" / "gtx1080-driver470.json"
CHECK = ("check", "--facts", str(MACHINE))


def on_a_terminal(columns, *arguments, **variables):
    """What `envdoc ARGUMENTS` writes to a terminal of that width."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **variables}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        if name not in variables:
            environment.pop(name, None)
    process = subprocess.Popen([ENVDOC, *arguments], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    output = b""
    while True:
        try:
            block = os.read(leader, 1 << 16)
        except OSError:  # Linux's way of saying that the other side is closed
            break
        output += block
    os.close(leader)
    process.wait(60)
    return output.decode("utf-8").replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_widths(columns):
    """No line but a command is wider than the terminal, and none than 110; every word is there."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(columns, *CHECK))
    lines = [line for line in text.splitlines() if "→" not in line]

    assert max(map(len, lines)) <= min(columns, 110)
    assert "Driver 470.57.02 is too old for torch 2.11.0+cu130 (needs 580)" in " ".join(text.split())
    assert "    → envdoc fix --apply" in text.splitlines()


def test_colour():
    """Colour on a terminal; none for NO_COLOR, a dumb terminal or a pipe; FORCE_COLOR brings it into a pipe."""
    plain = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}

    def piped(**variables):
        command = [ENVDOC, *CHECK]
        return subprocess.run(
            command, env={**plain, **variables}, capture_output=True, text=True, timeout=60
        ).stdout

    assert "\x1b[1;31m" in on_a_terminal(80, *CHECK)
    assert ["\x1b" in text for text in (on_a_terminal(80, *CHECK, NO_COLOR="1"), on_a_terminal(80, *CHECK, TERM="dumb"),
            piped(), piped(FORCE_COLOR="1"))] == [False, False, False, True]  # fmt: skip


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_ascii(variables, envdoc):
    """Where the encoding has no symbols there are words in brackets."""
    text = envdoc(*CHECK, "-v", env={**os.environ, **variables}).stdout

    assert text.isascii()
    assert "[error] DRV010" in text and "[ok] " in text and "-> envdoc fix --apply" in text


@pytest.mark.parametrize("name", FORMATS)
def test_a_reader_that_leaves(name):
    """`envdoc check | head -1`: no traceback, no complaint."""
    command = f'"{ENVDOC}" check --facts "{MACHINE}" -v --format {name} | head -1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert "" == done.stderr
    assert done.returncode in (0, 1)


@pytest.mark.parametrize("arguments", [CHECK, (*CHECK, "--format", "json"), ("rules",), ("--version",)])
def test_a_full_disk(arguments):
    """One sentence and exit code 2."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [ENVDOC, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )

    assert 2 == done.returncode
    assert done.stderr.startswith("error: There is no space left")
    assert 2 == len(done.stderr.splitlines())


def test_closed_streams():
    """Closed standard output is misuse; closed input and errors change nothing, and no note goes to the report."""
    shell = ["bash", "-c", f'"{ENVDOC}" check --facts "{MACHINE}" --format json "$@"', "bash"]
    out = subprocess.run([*shell[:2], shell[2] + " >&-", "bash"], capture_output=True, text=True, timeout=60)
    err = subprocess.run(
        [*shell[:2], shell[2] + " 2>&- <&-", "bash"], capture_output=True, text=True, timeout=60
    )

    assert (2, "") == (out.returncode, out.stdout)
    assert out.stderr.startswith("error: Standard output is closed")
    assert 1 == err.returncode
    assert json.loads(err.stdout)["summary"]["errors"]


@pytest.mark.parametrize("name", FORMATS)
def test_into_a_file(name, envdoc, tmp_path):
    """`-o FILE` writes what would be printed, and says so on standard error; the exit code is the same."""
    (tmp_path / "old").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to("old")
    printed = envdoc(*CHECK, "--format", name).stdout

    done = envdoc(*CHECK, "--format", name, "-o", "link")
    written = (tmp_path / "old").read_text(encoding="utf-8")

    def timeless(text):
        return re.sub(r"\d+\.\d+( s\b|\"?,?$)|(time|seconds)\W+[\d.]+", "", text, flags=re.MULTILINE)

    assert (1, "", "Wrote link.\n") == (done.returncode, done.stdout, done.stderr)
    assert (tmp_path / "link").is_symlink()
    assert len(printed.splitlines()) == len(written.splitlines())
    assert timeless(printed)[:200] == timeless(written)[:200]
    assert ["link", "old"] == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("where", ["no/such/folder/x", "folder", "/dev/full"])
def test_a_file_that_cannot_be_written(where, envdoc, tmp_path):
    """One sentence, exit code 2, and nothing is left."""
    (tmp_path / "folder").mkdir()

    done = envdoc(*CHECK, "-o", where)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert ["folder"] == [path.name for path in tmp_path.iterdir()]


def test_groups(envdoc):
    """`rules` lists in groups, and --select takes a group's name as well as a prefix."""
    listed = envdoc("rules").stdout.splitlines()
    rows = json.loads(envdoc("rules", "--format", "json").stdout)
    chosen = json.loads(envdoc(*CHECK, "--format", "json", "--select", "torch,bnb00").stdout)["checks"]

    assert listed[listed.index("driver") + 1].startswith("  DRV001  ")
    assert {"driver", "GPU", "torch", "packages", "system"} <= {row["group"] for row in rows}
    assert {"TOR", "BNB"} == {check["code"][:3] for check in chosen}


def test_timings(envdoc):
    """--timings names ten checks with their milliseconds, slowest first."""
    lines = envdoc(*CHECK, "--timings").stdout.splitlines()
    times = [
        float(match.group(1))
        for line in lines
        if (match := re.match(r"\s+([\d.]+) ms  [A-Z]{3}\d{3} ", line))
    ]

    assert 10 == len(times)
    assert sorted(times, reverse=True) == times
