"""`check --deep` hashes what the usual check measures; it excludes `--quick` and a recorded snapshot."""

import json
import subprocess
import sys
from pathlib import Path

ENVDOC = str(Path(sys.executable).parent / "envdoc")


def check(*arguments):
    """`envdoc check` with these arguments, as it ended."""
    return subprocess.run([ENVDOC, "check", *arguments], capture_output=True, text=True, timeout=120)


def test_deep_and_quick_exclude_each_other():
    """Both together are misuse: one sentence, exit 2, nothing on standard output."""
    ended = check("--quick", "--deep")
    assert (2, "") == (ended.returncode, ended.stdout)
    assert ended.stderr.startswith("error: `--quick` and `--deep` exclude each other.")


def test_deep_needs_this_machine(tmp_path):
    """A recorded snapshot has no files to hash."""
    ended = check("--deep", "--facts", str(tmp_path / "none.json"))
    assert (2, "") == (ended.returncode, ended.stdout)
    assert "`--facts` judges a recorded one" in ended.stderr


def test_deep_finds_a_flipped_byte(tmp_path):
    """A real package whose code was changed without changing its size passes the usual check and not --deep."""
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=120)
    python = str(environment / "bin" / "python")
    (module,) = environment.glob("lib/python3*/site-packages/pip/__main__.py")
    text = module.read_bytes()
    module.write_bytes(text.replace(b"import", b"ximpor", 1))
    assert module.stat().st_size == len(text)
    codes = []
    for option in ([], ["--deep"]):
        ended = check("--python", python, "--select", "PKG011", "--format", "json", *option)
        codes.append([c["status"] for c in json.loads(ended.stdout)["checks"]])
    assert [["ok"], ["fail"]] == codes
