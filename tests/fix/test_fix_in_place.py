"""What is mended in place: which steps a finding gets, that they hold in real processes, and that they are undone."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import fix_tools as tools
import pytest

from envdoc.doctor.errors import FixError
from envdoc.doctor.facts.snapshot import NamedThings, Snapshot, Storage
from envdoc.doctor.facts.surroundings import StrayLibrary, Surroundings
from envdoc.doctor.finding import Fix, Kind
from envdoc.doctor.fix.in_place import FINDERS, steps_for
from envdoc.doctor.fix.settings import FILE, Step, digest, keep_only, receipts, settle, undo, use
from envdoc.doctor.rules.messages import messages

HOME = Path("/e")
PAGE = Path(__file__).parents[2] / "docs" / "fix.md"
ROOMY = Storage("envdoc", "/e", True, True, 10**12, 9 * 10**11, None, "ext4")
# `unset` is these rules' remedy too, and the plan prints it: whether a proxy or a token is right only its owner knows.
JUDGEMENTS = ("NET007",)


def found(code, *commands, title=""):
    """A finding of that code with these commands."""
    check = tools.check(code=code, kind=Kind.HOST, fix=Fix(False, commands))
    return check if not title else type(check)(**{**vars(check), "title": title})


def texts(check, environ, snapshot=None):
    """The steps in words."""
    return [step.text() for step in steps_for(check, snapshot or Snapshot(storage=(ROOMY,)), environ, HOME)]


def test_every_code_of_the_table_is_a_rule():
    """And no rule whose remedy is a plain `unset` is left out without a reason."""
    assert set() == set(FINDERS) - set(messages())
    plain = {
        code
        for code, message in messages().items()
        if message.remedy and all(re.match(r"unset [\w {}]+$", line) for line in message.remedy)
    }
    assert set(JUDGEMENTS) == plain - set(FINDERS)


def test_the_page_lists_every_code_of_the_table():
    """docs/fix.md tells what is done for whom, and for no other."""
    rows = re.findall(
        r"^\| [^|]+ \| ((?:[A-Z]{3}\d{3} ?)+)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(FINDERS) == sorted(" ".join(rows).split())


@pytest.mark.parametrize(
    ("code", "command", "environ", "expected"),
    [
        ("CFG027", "unset HF_HUB_ENABLE_HF_TRANSFER", {"HF_HUB_ENABLE_HF_TRANSFER": "1"},
         ["unset variable HF_HUB_ENABLE_HF_TRANSFER"]),
        ("CFG020", "unset RANK WORLD_SIZE", {"RANK": "0", "WORLD_SIZE": "8"},
         ["unset variable RANK", "unset variable WORLD_SIZE"]),
        ("CFG024", "unset PYTORCH_CUDA_ALLOC_CONF", {}, []),
        ("SYS008", "export LC_ALL=C.UTF-8 PYTHONUTF8=1", {},
         ["set variable LC_ALL=C.UTF-8", "set variable PYTHONUTF8=1"]),
        ("CFG041", "export PYTHONNOUSERSITE=1", {}, ["set variable PYTHONNOUSERSITE=1"]),
        ("GPU010", "unset CUDA_VISIBLE_DEVICES", {"CUDA_VISIBLE_DEVICES": "0,0"},
         ["unset variable CUDA_VISIBLE_DEVICES"]),
        ("CFG087", "unset A; rm -rf /", {"A": "'x'"}, []),
        ("CFG098", "export WANDB_MODE=$(reboot)", {}, []),
        ("CFG103", "export CUDA_HOME=/path/to/it", {}, []),
        ("CFG021", "unset LD_LIBRARY_PATH", {"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64:/usr/local/cuda-12/lib64/"},
         ["take /usr/local/cuda-12/lib64/ out of variable LD_LIBRARY_PATH"]),
        ("DRV006", "unset LD_LIBRARY_PATH", {"LD_LIBRARY_PATH": "/usr/local/cuda/compat:/opt/lib"},
         ["take /usr/local/cuda/compat out of variable LD_LIBRARY_PATH"]),
        ("NET007", "unset HTTP_PROXY", {"HTTP_PROXY": "http://p"}, []),
        ("DRV001", "sudo apt-get install x", {}, []),
    ],
)  # fmt: skip
def test_the_steps_of_a_finding(code, command, environ, expected):
    """Only plain `unset` and `export` become steps; of the loader's paths goes the one folder and nothing more."""
    assert expected == texts(found(code, command), environ)


def test_stray_libraries_are_taken_out_one_by_one():
    """The stub of the driver is CFG046's, any other library CFG044's, one in LD_PRELOAD CFG045's."""
    stray = (
        StrayLibrary("/cuda/stubs/libcuda.so.1", "LD_LIBRARY_PATH"),
        StrayLibrary("/old/libcudnn.so.8", "LD_LIBRARY_PATH"),
        StrayLibrary("/old/libnccl.so.2", "LD_PRELOAD"),
    )
    snapshot = Snapshot(surroundings=Surroundings(stray_libraries=stray), storage=(ROOMY,))
    environ = {
        "LD_LIBRARY_PATH": "/keep:/cuda/stubs:/old/",
        "LD_PRELOAD": "/old/libnccl.so.2 /usr/lib/libjemalloc.so",
    }
    told = {code: texts(found(code), environ, snapshot) for code in ("CFG044", "CFG045", "CFG046")}
    assert {
        "CFG044": ["take /old/ out of variable LD_LIBRARY_PATH"],
        "CFG045": ["take /old/libnccl.so.2 out of variable LD_PRELOAD"],
        "CFG046": ["take /cuda/stubs out of variable LD_LIBRARY_PATH"],
    } == told


def place(purpose, free=10**9, **more):
    """A folder on a disk of its own."""
    told = {"exists": True, "writable": True, "total_bytes": 10**10, "file_system": "xfs", **more}
    return Storage(purpose, f"/{purpose}", free_bytes=free, **told)


@pytest.mark.parametrize(
    ("code", "title", "places", "expected"),
    [
        ("SYS021", "", (place("tmp", exists=False), ROOMY), ["make folder /tmp"]),
        ("SYS021", "", (place("tmp", exists=False, writable=False), ROOMY),
         ["make folder /e/tmp", "set variable TMPDIR=/e/tmp"]),
        ("SYS003", "", (place("tmp", noexec=True), ROOMY), ["make folder /e/tmp", "set variable TMPDIR=/e/tmp"]),
        ("SYS002", "The tmp folder is not writable", (place("tmp", writable=False), ROOMY),
         ["make folder /e/tmp", "set variable TMPDIR=/e/tmp"]),
        ("SYS002", "The cache folder is not writable", (place("cache", writable=False), ROOMY),
         ["make folder /e/models", "set variable HF_HUB_CACHE=/e/models"]),
        ("SYS002", "The work folder is not writable", (place("work", writable=False), ROOMY), []),
        ("SYS001", "Only 1 GB is free for the cache folder", (place("cache"), ROOMY),
         ["make folder /e/models", "set variable HF_HUB_CACHE=/e/models"]),
        ("SYS001", "Only 1 GB is free for the cache folder", (place("cache"), place("envdoc", 2 * 10**9)), []),
        ("SYS001", "Only 1 GB is free for the tmp folder", (place("tmp"), place("envdoc")), []),
        ("SYS032", "Models are kept in memory: /x", (place("cache", file_system="tmpfs"), ROOMY),
         ["make folder /e/models", "set variable HF_HUB_CACHE=/e/models"]),
    ],
)  # fmt: skip
def test_folders_are_made_or_moved_to_a_disk_with_room(code, title, places, expected):
    """Never to the same disk, nor to one that is as full."""
    assert expected == texts(found(code, title=title), {}, Snapshot(storage=places))


def test_a_closed_folder_gets_one_of_envdocs_own():
    """CFG086 and SYS031: each variable's own folder."""
    from envdoc.doctor.facts.snapshot import NamedPath

    named = NamedThings(
        paths=(NamedPath("HF_HOME", "closed", "/c"), NamedPath("TRITON_CACHE_DIR", "noexec", "/n"))
    )
    snapshot = Snapshot(named=named, storage=(ROOMY,))
    closed = found("CFG086", title="HF_HOME is /c, and it cannot be written or made")
    noexec = found("SYS031", title="TRITON_CACHE_DIR: /n forbids programs (noexec)")
    assert ["make folder /e/caches/hf_home", "set variable HF_HOME=/e/caches/hf_home"] == texts(
        closed, {}, snapshot
    )
    assert "set variable TRITON_CACHE_DIR=/e/caches/triton_cache_dir" in texts(noexec, {}, snapshot)


def test_a_setting_holds_only_for_the_value_that_was_wrong(home):
    """Whoever corrects the variable in the shell is obeyed; nothing of the value itself is written down."""
    secret = "'hf_verysecret'"
    settle(home, ["CFG084"], [Step("unset", "HF_TOKEN", seen=digest(secret)), Step("set", "A", "1")])
    wrong, right = {"HF_TOKEN": secret}, {"HF_TOKEN": "hf_right", "A": "2"}
    assert 2 == len(use(wrong, home))
    assert ({"A": "1"}, 0) == (wrong, len(use(right, home)))
    assert {"HF_TOKEN": "hf_right", "A": "2"} == right
    assert "verysecret" not in (home / FILE).read_text()
    assert 0o600 == (home / FILE).stat().st_mode & 0o777


def test_an_entry_is_dropped_from_whatever_else_the_path_holds(home):
    """The last entry takes the variable with it."""
    settle(home, ["CFG044"], [Step("drop", "LD_LIBRARY_PATH", "/old/")])
    some, only = {"LD_LIBRARY_PATH": "/new:/old:/a"}, {"LD_LIBRARY_PATH": "/old"}
    use(some, home)
    use(only, home)
    assert ({"LD_LIBRARY_PATH": "/new:/a"}, {}) == (some, only)


def test_undo_takes_the_last_back_and_leaves_what_others_put_there(home, tmp_path):
    """One receipt after the other; a folder that is in use stays, an empty one goes with those made for it."""
    settle(home, ["A"], [Step("folder", str(tmp_path / "a" / "b"))])
    settle(home, ["B"], [Step("folder", str(tmp_path / "c")), Step("set", "X", "1")])
    (tmp_path / "c" / "mine").write_text("")
    assert ("B",) == undo(home).codes
    assert (tmp_path / "c" / "mine").exists()
    assert [("A",)] == [receipt.codes for receipt in receipts(home)]
    assert ("A",) == undo(home).codes
    assert (False, False, None) == ((tmp_path / "a").exists(), (home / FILE).exists(), undo(home))


def test_what_did_not_help_is_taken_out_of_the_receipt(home, tmp_path):
    """Its folder too."""
    kept = Step("set", "X", "1")
    settle(home, ["A", "B"], [kept, Step("folder", str(tmp_path / "f"))])
    keep_only(home, ["A"], [kept])
    assert [(("A",), (kept,), ())] == [(r.codes, r.steps, r.made) for r in receipts(home)]
    assert not (tmp_path / "f").exists()


def test_a_folder_that_cannot_be_made_changes_nothing(home, tmp_path):
    """The settings are as they were, and the error names the folder."""
    (tmp_path / "file").write_text("")
    settle(home, ["A"], [Step("set", "X", "1")])
    before = (home / FILE).read_text()
    with pytest.raises(FixError, match="cannot be made: Not a directory"):
        settle(home, ["B"], [Step("set", "Y", "1"), Step("folder", str(tmp_path / "file" / "x"))])
    assert before == (home / FILE).read_text()


@pytest.mark.parametrize("text", ["", "[]", '{"applied": [{}]}', '{"applied": [{"at": "", "codes": [], "made": [], '
                                  '"steps": [{"what": "reboot", "name": "x"}]}]}'])  # fmt: skip
def test_a_damaged_file_is_one_sentence_with_the_way_out(text, home):
    """No traceback, and no guess at what it meant."""
    home.mkdir()
    (home / FILE).write_text(text)
    with pytest.raises(FixError, match=r"variables\.json` cannot be read"):
        use({}, home)


KILLED = """
import os, signal, sys
from pathlib import Path
from envdoc.doctor.fix.settings import Step, settle
point, home, folder = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
seen = 0
def trace(frame, event, argument):
    global seen
    if frame.f_code.co_filename.endswith("settings.py"):
        if event == "line":
            seen += 1
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
sys.settrace(trace)
settle(home, ["B"], [Step("set", "Y", "2"), Step("folder", folder)])
sys.settrace(None)
print(seen)
"""


def test_a_kill_at_any_line_leaves_the_former_settings_or_the_new_ones(tmp_path):
    """SIGKILL at eight points from the first line to the last; what follows undoes both, the folder too."""
    settle(tmp_path / "whole", ["A"], [Step("set", "X", "1")])
    told = subprocess.run(
        [sys.executable, "-c", KILLED, "0", str(tmp_path / "whole"), str(tmp_path / "f0")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = int(told.stdout)
    seen = set()
    for turn in range(8):
        home, folder = tmp_path / f"home{turn}", tmp_path / f"made{turn}"
        settle(home, ["A"], [Step("set", "X", "1")])
        point = 1 + turn * (lines - 1) // 7
        done = subprocess.run([sys.executable, "-c", KILLED, str(point), str(home), str(folder)], check=False)
        assert -signal.SIGKILL == done.returncode
        environ = {}
        use(environ, home)
        assert environ in ({"X": "1"}, {"X": "1", "Y": "2"})
        seen.add(len(environ))
        while undo(home) is not None:
            pass
        assert not folder.exists()
    assert {1, 2} == seen


def envdoc(home, environ, *arguments):
    """envdoc itself in a process of its own."""
    values = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ENVDOC"))}
    # No pyenv and no other Python but the system's: asking them all would take seconds.
    values.update(ENVDOC_HOME=str(home), HOME=str(home / "user"), PATH="/usr/bin:/bin", PYENV_ROOT="/nowhere")
    values.update(environ)
    return subprocess.run(
        [sys.executable, "-m", "envdoc.doctor", *arguments],
        env=values, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def generation(home):
    """A virtual environment in the place of a generation, with the metadata of an old huggingface-hub."""
    folder = home / "envs" / "0001-tiny-0"
    subprocess.run([tools.BASE, "-m", "venv", "--without-pip", str(folder)], check=True)
    (home / "current").symlink_to(Path("envs") / folder.name)
    (home / "user").mkdir()
    info = next(folder.glob("lib/python*/site-packages")) / "huggingface_hub-0.36.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: huggingface-hub\nVersion: 0.36.2\n")
    return folder


def failing(done):
    """The codes that a JSON report says failed."""
    return {check["code"] for check in json.loads(done.stdout)["checks"] if check["status"] == "fail"}


def test_apply_settles_and_check_in_run_no_longer_finds_it(generation, home, tmp_path):
    """The real command: planned, done, seen by `envdoc run -- envdoc check`, planned no more, and undone."""
    missing = tmp_path / "tmp"
    environ = {"HF_HUB_ENABLE_HF_TRANSFER": "1", "HF_HUB_ETAG_TIMEOUT": "10s", "TMPDIR": str(missing)}
    codes = {"CFG027", "CFG081", "SYS021"}
    python = ("--python", str(generation / "bin" / "python"))
    only = [word for code in sorted(codes) for word in ("--only", code)]
    planned = envdoc(home, environ, "fix", *python, *only)
    assert 0 == planned.returncode, planned.stderr
    for line in (
        "+ unset variable HF_HUB_ENABLE_HF_TRANSFER",
        "+ unset variable HF_HUB_ETAG_TIMEOUT",
        f"+ make folder {missing}",
    ):
        assert line in planned.stdout
    assert ([], False) == (list(home.glob(FILE)), missing.exists())

    shown = envdoc(home, environ, "fix", *python, "--only", ",".join(codes), "--diff", "--format", "json")
    assert 3 == len(json.loads(shown.stdout)["diff"]["settings"])

    done = envdoc(home, environ, "fix", *python, *only, "--apply", "--yes")
    assert (0, 3) == (done.returncode, done.stderr.count("It is no longer found.")), done.stderr
    assert "your own shell: unset HF_HUB_ENABLE_HF_TRANSFER; unset HF_HUB_ETAG_TIMEOUT" in done.stderr
    assert missing.is_dir()
    in_run = ("run", "--", sys.executable, "-m", "envdoc.doctor")
    check = ("check", "--quick", "--format", "json", *python)
    assert set() == codes & failing(envdoc(home, environ, *in_run, *check))
    assert codes - {"SYS021"} == codes & failing(envdoc(home, environ, *check))
    again = envdoc(home, environ, "fix", *python, *only)
    assert "Nothing to do." in again.stdout
    assert "With what an earlier `envdoc fix` settled" in again.stderr

    back = envdoc(home, environ, "fix", "--undo")
    assert (0, True) == (back.returncode, back.stdout.startswith("Taken back (CFG027, CFG081, SYS021)"))
    assert not missing.exists()
    assert codes == codes & failing(envdoc(home, environ, *in_run, *check))
    assert 2 == envdoc(home, environ, "fix", "--undo").returncode


def test_nothing_is_settled_without_a_yes(generation, home):
    """No terminal and no --yes: one sentence, exit code 2, and no file."""
    environ = {"HF_HUB_ETAG_TIMEOUT": "10s"}
    python = ("--python", str(generation / "bin" / "python"))
    done = envdoc(home, environ, "fix", *python, "--only", "CFG081", "--apply")
    assert (2, True) == (done.returncode, "Nobody is there to be asked." in done.stderr)
    assert [] == list(home.glob(FILE))
