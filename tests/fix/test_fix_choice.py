"""Which profile each of many machines gets, and the one fact that is told against the others."""

import dataclasses

import pytest
from choice_tools import PROFILES

from envdoc.doctor.errors import FixError
from envdoc.doctor.facts.snapshot import Driver, Gpu, Host, Interpreter, PciDevice, Snapshot
from envdoc.doctor.fix.choose import choose, way_out
from envdoc.doctor.fix.profiles import load_profiles
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.tables.versions import numbers

ALL = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
CAPABILITIES = {
    "Tesla K80": "3.7",
    "GTX 1080": "6.1",
    "Tesla V100": "7.0",
    "Tesla T4": "7.5",
    "A100": "8.0",
    "RTX 3090": "8.6",
    "RTX 4090": "8.9",
    "H100": "9.0",
    "H200": "9.0",
    "B200": "10.0",
    "B300": "10.3",
    "RTX 5090": "12.0",
}


def pythons(minors):
    return tuple(Python(minor, f"/usr/bin/python{minor}", minor + ".7") for minor in minors)


def machine(
    cards=(), driver="", cuda="", glibc="2.36", system="Linux", arch="x86_64", variables=None, pci=()
):
    return Snapshot(
        interpreter=Interpreter(system=system, machine=arch),
        driver=Driver(version=driver, cuda=cuda),
        gpus=tuple(Gpu(index, name, CAPABILITIES[name]) for index, name in enumerate(cards)),
        host=Host(glibc=glibc),
        variables=variables or {},
        pci_devices=pci,
    )


SHIPPED = [  # cards, driver, Pythons, torch at least and below
    (["GTX 1080"], "450.80.02", ALL, "2.0", "2.1"),
    (["GTX 1080"], "580.95.05", ALL, "2.0", "2.8"),  # no later torch has code for Pascal
    (["Tesla V100"], "450.119.04", ALL, "2.0", "2.1"),
    (["Tesla V100"], "535.183.01", ["3.11"], "2.10", "2.11"),
    (["Tesla V100"], "580.95.05", ALL, "2.10", "2.11"),
    (["Tesla T4"], "470.256.02", ALL, "2.0", "2.1"),
    (["Tesla T4"], "525.60.13", ["3.10"], "2.10", "2.11"),
    (["Tesla T4"], "580.95.05", ALL, "2.11", "2.15"),
    (["A100"] * 8, "550.54.15", ["3.12"], "2.10", "2.11"),
    (["A100"], "550.54.15", ALL, "2.10", "2.11"),  # by minor version, and not the last resort
    (["A100"], "515.65.01", ALL, "2.0", "2.1"),
    (["RTX 3090"], "580.65.06", ["3.13"], "2.11", "2.15"),
    (["RTX 3090"], "580.65.06", ["3.8"], "2.0", "2.1"),
    (["RTX 4090"], "570.124.06", ALL, "2.10", "2.11"),
    (["H100"], "535.104.05", ["3.8", "3.11"], "2.10", "2.11"),
    (["H200"] * 4, "580.159.03", ["3.11"], "2.11", "2.15"),
    (["H200"], "595.71.05", ["3.12"], "2.11", "2.16"),
    (["B200"], "570.124.06", ["3.11"], "2.10", "2.11"),
    (["B300"], "580.95.05", ALL, "2.11", "2.15"),
    (["RTX 5090"], "575.51.03", ["3.12"], "2.10", "2.11"),
    (["GTX 1080", "RTX 4090"], "580.95.05", ALL, "2.0", "2.8"),
    (["RTX 4090", "H100"], "580.95.05", ALL, "2.11", "2.15"),
]


@pytest.mark.parametrize(("cards", "driver", "minors", "least", "below"), SHIPPED)
def test_the_lockfiles_that_ship_serve_the_machines_that_are_rented(cards, driver, minors, least, below):
    """Each GPU is used, by the torch that its driver and its code allow; machines.py holds the exact names."""
    choice = choose(machine(cards, driver), pythons(minors), load_profiles())
    assert not choice.gpu_unused
    assert numbers(least) <= numbers(choice.profile.torch)[:2] < numbers(below)
    assert f"/usr/bin/python{choice.profile.python}" == choice.python.path


UNSERVED = [
    (["Tesla K80"], "470.256.02", ALL, "py38-torch20-cu117",
     "its bitsandbytes has no code for sm_37 (Tesla K80)"),
    (["GTX 1080"], "390.157", ALL, "py38-torch20-cu117",
     "CUDA 11.7 needs driver 450.80.02 or newer, and this is 390.157"),
    (["GTX 1080"], "535.183.01", ["3.13"], "py313-torch210-cu128",
     "torch 2.10.0 has no code for sm_61 (GTX 1080)"),
    (["Tesla V100"], "470.256.02", ["3.11"], "py311-torch210-cu128",
     "CUDA 12.8 needs driver 525.60.13 or newer, and this is 470.256.02"),
    (["H100"], "515.65.01", ["3.9"], "py312-torch211-cu130", "there is no Python 3.12 on this machine"),
    (["B200"], "550.54.15", ["3.12"], "py312-torch210-cu128",
     "B200 needs driver 570 or newer, and this is 550.54.15"),
    (["A100"], "", ALL, "py312-torch211-cu130", "no driver answers"),
]  # fmt: skip


@pytest.mark.parametrize(("cards", "driver", "minors", "name", "fact"), UNSERVED)
def test_a_gpu_that_no_profile_serves_is_said_and_the_cpu_trains(cards, driver, minors, name, fact):
    """The fallback is marked, and each excluded profile has the one fact that excludes it."""
    choice = choose(machine(cards, driver), pythons(minors), PROFILES)
    assert (True, "cpu") == (choice.gpu_unused, choice.support)
    assert dict(choice.rejected)[name].startswith(fact)


@pytest.mark.parametrize(
    ("minors", "expected"),
    [
        (ALL, "cpu-py311"),
        (["3.8"], "py38-torch20-cu117"),
        (["3.9"], "cpu-py39"),
        (["3.10"], "cpu-py310"),
        (["3.12"], "cpu-py312"),
        (["3.13"], "cpu-py313"),
        (["3.8", "3.13"], "cpu-py313"),
    ],
)
def test_without_a_gpu_every_python_has_a_profile(minors, expected):
    """CPU profiles first; Python 3.8 has its own stack, which trains on the CPU too."""
    choice = choose(machine(), pythons(minors), PROFILES)
    assert (expected, False) == (choice.profile.name, choice.gpu_unused)


NOTHING = [
    (machine(), [], None, "cpu-py311", "there is no Python 3.11 on this machine"),
    (machine(glibc="2.17"), ALL, None, "cpu-py311", "its wheels need glibc 2.28, and this system has 2.17"),
    (machine(), ALL, 1_000_000_000, "cpu-py311", "it needs 1.8 GB of disk, and 1.0 GB are free"),
    (machine(system="Darwin", arch="arm64"), ALL, None, "cpu-py311",
     "it is locked for Linux x86_64, and this is Darwin arm64"),
    (machine(["H100"], "580.95.05", arch="aarch64"), ALL, None, "py312-torch211-cu130",
     "it is locked for Linux x86_64, and this is Linux aarch64"),
]  # fmt: skip


@pytest.mark.parametrize(("snapshot", "minors", "free", "name", "fact"), NOTHING)
def test_a_machine_that_nothing_fits_is_told_the_one_fact(snapshot, minors, free, name, fact):
    """No profile, and a fact against each of them."""
    profiles = PROFILES
    choice = choose(snapshot, pythons(minors), profiles, free)
    assert choice.profile is None
    assert {profile.name for profile in profiles} == {name for name, _ in choice.rejected}
    assert fact == dict(choice.rejected)[name]


def test_a_small_disk_leaves_the_profile_that_fits_on_it():
    """3 GB hold torch's CPU build, and none of the environments with CUDA libraries."""
    choice = choose(machine(), pythons(ALL), PROFILES, 3_000_000_000)
    assert "cpu-py311" == choice.profile.name
    assert "py38-torch20-cu117" in dict(choice.rejected)


def test_a_python_that_cannot_make_environments_is_named_with_the_package_to_install():
    """The fact against the profile is the missing venv module, and the hint how to get it."""
    broken = Python(
        "3.12", "/usr/bin/python3.12", "3.12.3", "cannot make environments", "Install python3.12-venv."
    )
    choice = choose(machine(), (broken,), PROFILES)
    expected = "`/usr/bin/python3.12` cannot make environments. Install python3.12-venv"
    assert expected == dict(choice.rejected)["cpu-py312"]


def test_the_driver_of_a_container_may_be_told_by_its_cuda_only():
    """CUDA 12.4 under an unnamed driver runs CUDA 12.8 by minor-version compatibility, and CUDA 13 not at all."""
    choice = choose(machine(["A100"], cuda="12.4"), pythons(ALL), PROFILES)
    assert "py312-torch210-cu128" == choice.profile.name
    assert (
        "the driver serves CUDA 12.4, and CUDA 13.0 is needed"
        == dict(choice.rejected)["py312-torch211-cu130"]
    )


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_count_as_none(hidden):
    """CUDA_VISIBLE_DEVICES without a device: the CPU trains by the user's own wish."""
    choice = choose(
        machine(["H200"], "580.159.03", variables={"CUDA_VISIBLE_DEVICES": hidden}),
        pythons(ALL),
        PROFILES,
    )
    assert ("cpu-py311", False) == (choice.profile.name, choice.gpu_unused)
    assert any("CUDA_VISIBLE_DEVICES hides every GPU" in reason for reason in choice.reasons)


def test_an_nvidia_device_without_a_driver_is_mentioned():
    """The person learns that a driver would change the choice."""
    choice = choose(machine(pci=(PciDevice("0000:01:00.0"),)), pythons(ALL), PROFILES)
    assert "cpu-py311" == choice.profile.name
    assert any("once its driver works, run `envdoc fix` again" in reason for reason in choice.reasons)


def test_a_named_profile_is_the_only_one_considered():
    """`--profile cpu-py312` on an H200 gives just that, and says that the GPU stays unused."""
    choice = choose(machine(["H200"], "580.159.03"), pythons(ALL), PROFILES, wanted="cpu-py312")
    assert ("cpu-py312", True) == (choice.profile.name, choice.gpu_unused)
    assert "You asked for `cpu-py312`." in choice.reasons


def test_an_unknown_profile_names_those_there_are():
    """A wrong name is one sentence and a hint."""
    with pytest.raises(FixError, match="There is no profile `cpu-py27`") as caught:
        choose(machine(), pythons(ALL), PROFILES, wanted="cpu-py27")
    assert "cpu-py311" in caught.value.hint


def test_a_gpu_that_does_not_tell_its_capability_is_not_held_against_a_profile():
    """An unknown capability excludes nothing; the driver still counts."""
    snapshot = machine(["H200"], "580.159.03")
    snapshot = dataclasses.replace(snapshot, gpus=(dataclasses.replace(snapshot.gpus[0], capability=""),))
    assert "py312-torch214-cu130" == choose(snapshot, pythons(ALL), PROFILES).profile.name


def test_the_way_out_of_a_machine_with_no_python_that_fits():
    """The Python that gives the best profile, with what installs it; of a full disk how much is to be freed."""
    only_314 = choose(Snapshot(), (Python("3.14", "/usr/bin/python3.14", "3.14.0"),), PROFILES)
    small_disk = choose(Snapshot(), (Python("3.12", "/usr/bin/python3.12", "3.12.1"),), PROFILES, 1000)

    assert None is only_314.profile
    assert "apt-get install python3." in way_out(only_314)
    assert "uv python install 3." in way_out(only_314)
    assert way_out(small_disk).startswith("Free ")
