"""The lockfiles that ship: whole, pinned by hash, bound to no host, proved by training, and true to the tables."""

import re
import sys

import pytest

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.profiles import load_profiles
from envdoc.doctor.tables import load
from envdoc.doctor.tables.cuda_drivers import exact_floor, minor_floor
from envdoc.lockfiles import FOLDER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROFILES = load_profiles()
NEEDED = {
    "torch", "transformers", "peft", "accelerate", "bitsandbytes", "datasets", "sentencepiece", "safetensors",
    "pyyaml", "packaging", "rich", "matplotlib",
}  # fmt: skip
LOCKS = sorted(path for path in FOLDER.glob("*.txt") if not path.name.endswith(".constraints.txt"))


def pins(path):
    """Package -> version of a lock."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_a_hash_and_no_line_names_an_index(path):
    """A lock is the same behind every mirror: pins, hashes, markers, comments and nothing else."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        allowed = not line.strip() or line.startswith("#") or line == "--only-binary :all:"
        pinned = re.match(r"[a-z0-9-]+==[^\s;]+( ;[^-]+(-[^-]+)*)?(\s+--hash=sha256:[0-9a-f]{64})+$", line)
        assert allowed or pinned, line
    assert "://" not in text


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_profile_holds_the_whole_training_stack_as_wheels_only(profile):
    """Everything that training, quantisation and the loss curve import; nothing is ever compiled."""
    assert set() == NEEDED - set(pins(profile.lock))
    assert "--only-binary :all:" in profile.lock.read_text(encoding="utf-8").splitlines()
    assert profile.torch == pins(profile.lock)["torch"]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_direct_packages_are_those_of_the_in_file(profile):
    """Each line of NAME.in is pinned in NAME.txt, at the version that it names."""
    for line in (FOLDER / f"{profile.name}.in").read_text(encoding="utf-8").split():
        name, _, version = line.partition("==")
        assert pins(profile.lock)[name] == (version or pins(profile.lock)[name])


@pytest.mark.parametrize("profile", [p for p in PROFILES if not p.is_cpu], ids=lambda profile: profile.name)
def test_the_driver_floors_are_those_of_the_table(profile):
    """profiles.toml and tables/cuda_drivers.toml never part."""
    assert (exact_floor(profile.cuda), minor_floor(profile.cuda)) == (
        profile.driver_exact,
        profile.driver_minor,
    )


@pytest.mark.parametrize("profile", [p for p in PROFILES if not p.is_cpu], ids=lambda profile: profile.name)
def test_bitsandbytes_has_a_library_for_the_profiles_cuda_and_these_architectures(profile):
    """The resolver does not know that torch's CUDA and bitsandbytes' libraries must meet; the table does."""
    version = pins(profile.lock)["bitsandbytes"]
    release = next(row for row in load("bitsandbytes_builds")["release"] if row["version"] == version)
    binary = tuple(name for name in release["architectures"][profile.cuda] if name.startswith("sm_"))
    assert binary == profile.bitsandbytes_architectures


def test_only_a_cpu_build_parts_the_cuda_libraries_from_the_lock():
    """A second file exists just where the first may be installed without it."""
    assert {p.name for p in PROFILES if p.cpu_build} == {p.name for p in PROFILES if p.cuda_lock}
    for profile in PROFILES:
        if profile.cpu_build:
            digest = profile.cpu_build.requirement.split("sha256:")[1]
            assert digest in profile.lock.read_text(encoding="utf-8")
            assert not any(name.startswith("nvidia-") for name in pins(profile.lock))


def test_every_lock_has_a_profile_and_the_profiles_cover_every_python():
    """No lock is left over; a machine without a GPU is served from Python 3.8 to 3.13."""
    known = {profile.lock.name for profile in PROFILES} | {p.cuda_lock.name for p in PROFILES if p.cuda_lock}
    assert {"bench.txt", "dev.txt", "doctor.txt", "kernel.txt", "relock.txt"} == {
        path.name for path in LOCKS
    } - known
    assert {"3.8", "3.9", "3.10", "3.11", "3.12", "3.13"} == {profile.python for profile in PROFILES}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_pylock_is_the_lock_with_the_size_of_every_wheel(profile):
    """The same pins and hashes; the first wheels of all packages are the download; nothing names a host."""
    path = FOLDER / f"pylock.{profile.name}.toml"
    text = path.read_text(encoding="utf-8")
    table = tomllib.loads(text)
    files = [profile.lock, *([profile.cuda_lock] if profile.cuda_lock else [])]
    in_lock = {digest for file in files for digest in re.findall(r"sha256:([0-9a-f]{64})", file.read_text())}
    if profile.cpu_build:
        in_lock.remove(profile.cpu_build.requirement.split("sha256:")[1])
    wheels = [wheel for package in table["packages"] for wheel in package["wheels"]]

    assert "1.0" == table["lock-version"]
    assert {name: version for file in files for name, version in pins(file).items()} == {
        package["name"]: package["version"] for package in table["packages"]
    }
    assert in_lock == {wheel["hashes"]["sha256"] for wheel in wheels}
    assert [] == [wheel for wheel in wheels if wheel["size"] <= 0 or wheel["name"] != wheel["path"]]
    assert profile.download_bytes == sum(package["wheels"][0]["size"] for package in table["packages"])
    assert "://" not in text


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_packaging_reads_every_pylock(profile):
    """The form is that of PEP 751, as the reference implementation reads it."""
    pylock = pytest.importorskip("packaging.pylock", reason="came with packaging 26")
    table = tomllib.loads((FOLDER / f"pylock.{profile.name}.toml").read_text(encoding="utf-8"))
    assert len(table["packages"]) == len(pylock.Pylock.from_dict(table).packages)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_model_trained_in_every_profile(profile):
    """15 steps with a falling loss, and an adapter that was verified."""
    told = re.match(
        r"envdoc train: (\d+) steps on ([^,]+), loss ([\d.]+) to ([\d.]+), adapter verified \(\d+ s\)$",
        profile.probe,
    )
    assert told, profile.probe
    assert "15" == told.group(1)
    assert float(told.group(3)) > float(told.group(4))


def test_every_kind_of_machine_that_is_rented_has_a_profile():
    """The CUDA generations, and Python 3.10 to 3.13 of each that has wheels for them."""
    covered = {(profile.torch, profile.cuda): set() for profile in PROFILES}
    for profile in PROFILES:
        covered[profile.torch, profile.cuda].add(profile.python)
    current = {"3.10", "3.11", "3.12", "3.13"}
    expected = {
        ("2.0.1", "11.7"): {"3.8"},
        ("2.7.1", "12.6"): current,
        ("2.8.0", "12.8"): {"3.9"},
        ("2.10.0", "12.8"): current,
        ("2.11.0", "13.0"): current,
        ("2.14.1", "13.0"): current,
        ("2.15.0", "13.2"): current - {"3.10"},
        ("2.13.0", ""): current,
        ("2.8.0", ""): {"3.9"},
    }
    assert expected == covered


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_named_versions_are_those_of_the_lock(profile):
    """profiles.toml tells transformers' and bitsandbytes' versions so that nobody parses a lock for them."""
    locked = pins(profile.lock)
    assert (locked["transformers"], locked["bitsandbytes"]) == (profile.transformers, profile.bitsandbytes)


def test_newer_torch_comes_first():
    """Where two profiles fit equally well the first is taken: CUDA by torch, then the CPU, then the last resort."""
    order = [(p.last_resort, p.is_cpu, [-int(part) for part in p.torch.split(".")]) for p in PROFILES]
    assert sorted(order) == order


def test_the_sha256_covers_both_files_of_a_profile(tmp_path):
    """A changed byte in either file is another lock."""
    for path in FOLDER.glob("*"):
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    before = {profile.name: profile.lock_sha256 for profile in load_profiles(tmp_path)}
    assert before == {profile.name: profile.lock_sha256 for profile in PROFILES}
    for name in ("cpu-py311.cuda.txt", "cpu-py312.txt"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "# changed\n")
    changed = {p.name for p in load_profiles(tmp_path) if p.lock_sha256 != before[p.name]}
    assert {"cpu-py311", "cpu-py312"} == changed


def test_a_missing_lock_is_one_sentence(tmp_path):
    """An installation that lost a file says so."""
    (tmp_path / "profiles.toml").write_text((FOLDER / "profiles.toml").read_text())
    with pytest.raises(FixError, match=r"envdoc's own lockfiles in .* cannot be read"):
        load_profiles(tmp_path)
