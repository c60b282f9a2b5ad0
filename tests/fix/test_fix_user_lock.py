"""envdoc.lock.txt as it is read: what `envdoc lock` wrote comes back as a profile, and nothing else is let in."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from envdoc.doctor.errors import FixError
from envdoc.doctor.facts.lockfile import read_lock
from envdoc.doctor.facts.snapshot import Driver, Gpu, Snapshot
from envdoc.doctor.fix.choose import choose
from envdoc.doctor.fix.profiles import load_profiles
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.fix.user_lock import (
    FILE_NAME,
    find_lock,
    pins_of_profile,
    read_user_lock,
    require_fit,
)
from envdoc.doctor.fix.user_pins import Pin, pins_sha256
from envdoc.doctor.lock.additions import Additions
from envdoc.doctor.lock.document import lock_text, pins_diff

ENVDOC = str(Path(sys.executable).parent / "envdoc")
PROFILES = {profile.name: profile for profile in load_profiles()}
ADDED = Pin("einops", "0.8.1", ("ab" * 32,))
ADDITIONS = Additions(("einops>=0.8",), (), ("einops>=0.8",), ("requirements.txt",))


def text_of(name="cpu-py311"):
    """A lock of einops on that profile, as `envdoc lock` writes it."""
    base = PROFILES[name]
    return lock_text(base, name, ADDITIONS, [*pins_of_profile(base), ADDED])


def written(folder, text):
    """The text as a file."""
    path = folder / FILE_NAME
    path.write_text(text)
    return path


def with_sum_of(text, pins):
    """The text with the sum that goes with these pins."""
    return re.sub(r"# pins-sha256: .*", f"# pins-sha256: {pins_sha256(pins)}", text)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_profile_comes_back_with_what_was_added(name, tmp_path, home):
    """All that the choice and the installers read is in the file; the pins are laid out in envdoc's folder."""
    lock = read_user_lock(written(tmp_path, text_of(name)), home)
    base = PROFILES[name]
    paths = {"name": "", "lock": Path(), "cuda_lock": None, "lock_sha256": "", "last_resort": False}
    same = {**vars(base), **paths}
    assert {k: v for k, v in same.items() if k in FILE_FIELDS} == {
        k: v for k, v in {**vars(lock.profile), **paths}.items() if k in FILE_FIELDS
    }
    assert ("user-" + name, name, ("einops>=0.8",), ("requirements.txt",)) == (
        lock.profile.name,
        lock.base,
        lock.arguments,
        lock.files,
    )
    assert lock.profile.lock.is_relative_to(home)
    assert "einops==0.8.1" in lock.profile.lock.read_text()
    assert (base.cuda_lock is None) == (lock.profile.cuda_lock is None)
    split = {pin for pin in pins_of_profile(lock.profile)}
    assert set(lock.pins) == split


FILE_FIELDS = {
    "title", "python", "torch", "cuda", "driver_exact", "driver_minor", "torch_architectures", "glibc", "machine",
    "bitsandbytes_architectures", "download_bytes", "venv_bytes", "date", "probe", "cpu_build",
}  # fmt: skip


def test_a_lock_is_what_it_installs(tmp_path, home):
    """Another date or proof is the same lock, so that its generation is used again; another hash is another."""
    base = PROFILES["cpu-py311"]
    pins = [*pins_of_profile(base), ADDED]
    later = dataclasses.replace(base, date="2030-01-01", probe="again")
    first = read_user_lock(written(tmp_path, text_of()), home).profile.lock_sha256
    again = lock_text(later, "cpu-py311", ADDITIONS, list(reversed(pins)))
    assert first == read_user_lock(written(tmp_path, again), home).profile.lock_sha256
    assert first != pins_sha256([*pins[:-1], Pin("einops", "0.8.1", ("cd" * 32,))])


def break_(text, old, new):
    """The text with one thing replaced, and the number of the first line that changed."""
    assert old in text
    made = text.replace(old, new, 1)
    pairs = zip([*text.splitlines(), ""], [*made.splitlines(), ""])
    return made, next(number for number, (a, b) in enumerate(pairs, 1) if a != b)


HASH_OF_EINOPS = " \\\n    --hash=sha256:" + "ab" * 32
BROKEN = {
    "no hash": ("einops==0.8.1" + HASH_OF_EINOPS, "einops==0.8.1", "einops==0.8.1 has no hash"),
    "an index": ("--only-binary :all:", "--index-url https://u:secret@example.org/simple", "an address stands there"),
    "an option": ("--only-binary :all:", "--pre", "the option `--pre` has no place in a lock"),
    "find-links": ("--only-binary :all:", "--find-links=wheels", "the option `--find-links` has no place"),
    "an address": ("einops==0.8.1", "einops @ https://example.org/einops.whl", "an address stands there"),
    "an editable": ("einops==0.8.1" + HASH_OF_EINOPS, "-e .", "the option `-e` has no place in a lock"),
    "a range": ("einops==0.8.1", "einops>=0.8.1", "`einops>=0.8.1` is no pin"),
    "a weak hash": ("einops==0.8.1" + HASH_OF_EINOPS, "einops==0.8.1 --hash=md5:" + "ab" * 16, "is no sha256 hash"),
    "no header": ("# envdoc-lock: 1", "# made by pip-compile", "its first line is not `# envdoc-lock: 1`"),
    "a newer format": ("# envdoc-lock: 1", "# envdoc-lock: 2", "it has format 2, and this envdoc reads 1"),
    "a size": ("# venv-bytes: ", "# venv-bytes: many ", "`venv-bytes` is no number"),
    "a Python": ("# python: 3.11", "# python: eleven", "`python` is not as `envdoc lock` writes it"),
    "a base with a path": ("# base-profile: ", "# base-profile: ../../", "`base-profile` is not as"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_what_does_not_belong_there_is_one_error_with_its_line(case, tmp_path, home):
    """A lock that was edited, merged wrongly or made by something else is never installed."""
    old, new, sentence = BROKEN[case]
    text, number = break_(text_of(), old, new)
    with pytest.raises(FixError) as caught:
        read_user_lock(written(tmp_path, text), home)
    assert sentence in caught.value.message
    assert f"Line {number} of the lock" in caught.value.message
    assert "secret" not in caught.value.message
    assert "envdoc lock" in (caught.value.hint or "")


def test_a_pin_that_was_changed_was_not_proved(tmp_path, home):
    """Another version with a hash of the right form is refused at the line of the sum."""
    text, _ = break_(text_of(), "einops==0.8.1", "einops==0.8.2")
    with pytest.raises(FixError, match=r"Line \d+ .*its pins are not those that were proved"):
        read_user_lock(written(tmp_path, text), home)


def test_a_pin_twice_a_cut_file_and_a_missing_key(tmp_path, home):
    """A merge that kept both sides, a file that ends too early, a header that lost a line."""
    pins = [*pins_of_profile(PROFILES["cpu-py311"]), ADDED]
    twice = text_of() + "einops==0.8.0 --hash=sha256:" + "cd" * 32 + "\n"
    with pytest.raises(FixError, match=r"einops is pinned twice, to 0.8.1 and 0.8.0"):
        read_user_lock(written(tmp_path, twice), home)
    with pytest.raises(
        FixError,
        match=r"ends in the middle of a pin|has no hash|is no sha256 hash|no pin|not those that were",
    ):
        read_user_lock(written(tmp_path, text_of()[:4000]), home)
    lacking = with_sum_of(text_of().replace("# glibc: 2.28\n", ""), pins)
    with pytest.raises(FixError, match=r"its header has no `# glibc: \.\.\.`"):
        read_user_lock(written(tmp_path, lacking), home)
    with pytest.raises(FixError, match="cannot be read"):
        read_user_lock(tmp_path / "nothing.txt", home)
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(FixError, match="is no text in UTF-8"):
        read_user_lock(tmp_path / FILE_NAME, home)


def test_check_reads_it_as_a_lock(tmp_path):
    """`check --lock` takes the file as it stands: every pin, and no comment."""
    entries = read_lock(written(tmp_path, text_of())).entries
    assert ("einops", "==0.8.1") in [(entry.name, entry.specifier) for entry in entries]
    assert 1 + len(pins_of_profile(PROFILES["cpu-py311"])) == len(entries)


def test_the_lock_beside_the_project_is_found_and_a_named_one_comes_first(tmp_path):
    """Nothing where none lies there."""
    assert find_lock(None, tmp_path) is None
    path = written(tmp_path, "")
    assert path == find_lock(None, tmp_path)
    assert tmp_path / "other" == find_lock(tmp_path / "other", tmp_path)


HOPPER = Gpu(index=0, name="NVIDIA H100 80GB HBM3", capability="9.0")


def fit(name, tmp_path, home, automatic=True, **machine):
    """What `require_fit` says about a lock of that profile on a machine with Python 3.11 only."""
    lock = read_user_lock(written(tmp_path, text_of(name)), home)
    snapshot = Snapshot(**machine)
    pythons = [Python("3.11", sys.executable, "3.11.7")]

    def chosen(profiles, wanted=None):
        return choose(snapshot, pythons, profiles, None, wanted)

    try:
        require_fit(lock, chosen([lock.profile, *PROFILES.values()], lock.profile.name), chosen, automatic)
        return ""
    except FixError as error:
        return error.message.split("does not fit this machine: ")[1]


def test_where_it_does_not_fit_the_one_fact_is_told(tmp_path, home):
    """Driver, Python and a CPU lock beside a GPU; the last may be named on purpose."""
    old = {"gpus": (HOPPER,), "driver": Driver(version="525.60.13")}
    new = {"gpus": (HOPPER,), "driver": Driver(version="580.95.05")}
    told = fit("py311-torch211-cu130", tmp_path, home, **old)
    assert "CUDA 13.0 needs driver 580 or newer, and this is 525.60.13." == told
    assert "" == fit("py311-torch211-cu130", tmp_path, home, **new)
    told = fit("py312-torch211-cu130", tmp_path, home, **new)
    assert "there is no Python 3.12 on this machine." == told
    assert "it trains on the CPU, and this machine has a GPU." == fit("cpu-py311", tmp_path, home, **new)
    assert "" == fit("cpu-py311", tmp_path, home, automatic=False, **new)
    assert "" == fit("cpu-py311", tmp_path, home)


def test_fix_reads_the_lock_of_the_folder_first(tmp_path, home):
    """A plan by the lock, one with another profile in spite of it, and a broken one with exit status 2."""
    path = written(tmp_path, text_of())
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ENVDOC_HOME": str(home)}

    def fix(*arguments):
        command = [ENVDOC, "fix", "--python", sys.executable, "--format", "json", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    broken, number = break_(text_of(), "--only-binary :all:", "--extra-index-url https://u:pw@example.org")
    path.write_text(broken)
    ended = fix()
    assert (2, "") == (ended.returncode, ended.stdout)
    assert f"error: Line {number} of the lock `{FILE_NAME}`: an address stands there" in ended.stderr
    assert "pw@" not in ended.stderr
    assert "Traceback" not in ended.stderr
    both = fix("--lock", str(path), "--profile", "cpu-py311")
    assert (2, True) == (both.returncode, "name two environments" in both.stderr)
    if "%d.%d" % sys.version_info[:2] == "3.11":  # noqa: UP031
        path.write_text(text_of())
        ended = fix()
        assert "user-cpu-py311" == json.loads(ended.stdout)["profile"], ended.stderr


def test_the_diff_shows_versions_only():
    """Unified, without context: what was added, removed and changed."""
    before = [Pin("a", "1", ("x",)), Pin("b", "1", ("x",))]
    after = [Pin("a", "2", ("x",)), Pin("b", "1", ("y",)), Pin("c", "1", ("x",))]
    lines = pins_diff(before, after, "f").splitlines()
    assert ["-a==1", "+a==2", "+c==1"] == [line for line in lines if re.match(r"[-+]\w", line)]
    assert "" == pins_diff(before, [before[1], before[0]], "f")
