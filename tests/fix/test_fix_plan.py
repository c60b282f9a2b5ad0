"""What the plan says about each finding, when it builds, and what it promises about bytes."""

import dataclasses
from pathlib import Path

import fix_tools as tools
import pytest

from envdoc.doctor.facts.snapshot import Interpreter, Package, Snapshot
from envdoc.doctor.finding import Check, Fix, Kind, Severity, Status
from envdoc.doctor.fix.cached import cached_bytes
from envdoc.doctor.fix.choose import choose
from envdoc.doctor.fix.generations import Generation
from envdoc.doctor.fix.plan import How, make_plan
from envdoc.doctor.fix.present import generations_text, plan_text
from envdoc.doctor.fix.present_profiles import profiles_text
from envdoc.doctor.fix.profiles import load_profiles
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.fix.rate import Rate
from envdoc.doctor.fix.room import Room
from envdoc.doctor.fix.settings import Step
from envdoc.doctor.rules.messages import messages

PROFILES = load_profiles()
PYTHONS = (Python("3.11", "/usr/bin/python3.11", "3.11.7"),)
FOLDER = Path("/home/u/.envdoc/envs/0001-cpu-py311-x")
TRAINING = tuple(Package(name, "1") for name in ("torch", "transformers", "peft", "accelerate"))
TRAINED_IN = Snapshot(packages=TRAINING, interpreter=Interpreter(prefix=str(FOLDER)))
CHOICE = choose(Snapshot(), PYTHONS, PROFILES)


def current(lock):
    """The generation that the target is."""
    return Generation(1, FOLDER, "cpu-py311", lock, "3.11.7", "2026-11-24", 5, 60, True)


def unset_transfer(check):
    """One step for CFG027 and none for another."""
    return (Step("unset", "HF_HUB_ENABLE_HF_TRANSFER", seen="0"),) if check.code == "CFG027" else ()


def test_without_a_training_environment_a_generation_is_always_built():
    """No finding is needed for that."""
    plan = make_plan([], CHOICE, Snapshot())
    assert plan.builds
    assert "torch, transformers, peft, accelerate are not installed" in plan.why
    half = dataclasses.replace(Snapshot(), packages=TRAINING[:3])
    assert (
        "The target has no training environment: accelerate is not installed."
        == make_plan([], CHOICE, half).why
    )


def test_the_generation_of_this_lock_without_findings_leaves_nothing_to_do():
    """A second `envdoc fix` says so and downloads nothing."""
    plan = make_plan([], CHOICE, TRAINED_IN, current(CHOICE.profile.lock_sha256))
    assert (True, 0, 0) == (plan.nothing_to_do, plan.download_bytes, plan.disk_bytes)
    assert "Nothing to do. The target is the generation `0001-cpu-py311-x` of this lock.\n" == plan_text(plan)


def test_a_healthy_environment_of_the_user_is_left_alone():
    """It trains and nothing failed: no gigabytes for nothing, unless a profile is asked for."""
    snapshot = dataclasses.replace(TRAINED_IN, interpreter=Interpreter(prefix="/srv/venv"))
    assert make_plan([], CHOICE, snapshot, current("other")).nothing_to_do
    wanted = make_plan([], CHOICE, snapshot, current(CHOICE.profile.lock_sha256), wanted="cpu-py311")
    assert (True, "You asked for the profile `cpu-py311`, and the target is not built from its lock.") == (
        wanted.builds,
        wanted.why,
    )


def test_each_failing_check_has_its_action_and_no_other():
    """New environment, in place, or printed with the reason; what passed is not in the plan."""
    checks = [
        tools.check(new_environment=True, code="TOR003"),
        tools.check(code="CFG027", kind=Kind.HOST, fix=Fix(False, ("unset HF_HUB_ENABLE_HF_TRANSFER",))),
        tools.check(
            code="DRV002", kind=Kind.HOST, fix=Fix(False, ("sudo apt-get install nvidia-driver-580",))
        ),
        tools.check(code="PFT050", kind=Kind.DATA, severity=Severity.WARNING),
        tools.check(code="PKG001", status=Status.OK),
        tools.check(code="PKG011"),
    ]
    plan = make_plan(checks, CHOICE, TRAINED_IN, current("other"), in_place=unset_transfer)
    expected = [
        ("TOR003", How.NEW_ENVIRONMENT),
        ("CFG027", How.IN_PLACE),
        ("DRV002", How.PRINTED),
        ("PFT050", How.PRINTED),
        ("PKG011", How.NEW_ENVIRONMENT),
    ]
    assert expected == [(action.code, action.how) for action in plan.actions]
    why = "TOR003, PKG011 can be mended by a new environment only: envdoc repairs no package where it lies."
    assert why == plan.why
    text = plan_text(plan)
    assert "      $ sudo apt-get install nvidia-driver-580\n" in text
    assert "      + unset variable HF_HUB_ENABLE_HF_TRANSFER\n" in text
    assert "It changes the machine itself, which envdoc never does." in text
    assert "No command mends it; `envdoc explain PFT050` says what does." in text


def test_an_info_is_not_planned_for_unless_it_is_asked_for():
    """A machine without a GPU is no fault to mend, and an info never builds gigabytes."""
    checks = [tools.check(code="GPU001", severity=Severity.INFO, new_environment=True)]
    assert make_plan(checks, CHOICE, TRAINED_IN, current("other")).nothing_to_do
    assert ["GPU001"] == [a.code for a in make_plan(checks, CHOICE, TRAINED_IN, only=["GPU001"]).actions]


def test_only_the_codes_asked_for_are_planned():
    """`--only DRV002` leaves the rest alone, the new environment too."""
    checks = [tools.check(new_environment=True, code="TOR003"), tools.check(code="DRV002", kind=Kind.HOST)]
    plan = make_plan(checks, CHOICE, TRAINED_IN, only=["DRV002"])
    assert (False, ["DRV002"]) == (plan.builds, [action.code for action in plan.actions])
    both = make_plan(checks, CHOICE, TRAINED_IN, only=["DRV", "TOR003"])
    assert (True, ["TOR003", "DRV002"]) == (both.builds, [action.code for action in both.actions])
    nothing = make_plan(checks, CHOICE, TRAINED_IN, only=["SYS"])
    assert (True, "SYS: nothing is found here.") == (nothing.nothing_to_do, nothing.why)


@pytest.mark.parametrize(("installer", "copies"), [("pip", 2), ("uv", 1)])
def test_the_disk_needed_covers_what_the_installer_keeps(installer, copies):
    """pip holds every wheel in its cache and in its temporary folder beside the environment itself."""
    plan = make_plan([], CHOICE, Snapshot(), installer=installer)
    profile = CHOICE.profile
    assert profile.download_bytes == plan.download_bytes
    assert plan.disk_bytes > copies * profile.download_bytes + profile.venv_bytes
    assert plan.least_disk_bytes < plan.disk_bytes


def test_a_machine_that_no_profile_fits_is_told_each_fact():
    """The plan names every profile with the fact against it, and its findings are printed only."""
    nothing = choose(Snapshot(), (), PROFILES)
    plan = make_plan([tools.check(new_environment=True)], nothing, Snapshot())
    text = plan_text(plan)
    assert "A new environment is needed, and no profile fits this machine." in text
    assert "  cpu-py311: there is no Python 3.11 on this machine\n" in text
    assert [How.PRINTED] == [action.how for action in plan.actions]
    assert None is plan.to_json()["profile"]


def test_the_json_holds_the_numbers_and_the_reasons():
    """What a program needs to decide for itself."""
    told = make_plan([tools.check(new_environment=True)], CHOICE, Snapshot(), free_bytes=7).to_json()
    assert ("cpu-py311", CHOICE.profile.lock_sha256, 7) == (
        told["profile"],
        told["lock_sha256"],
        told["free_bytes"],
    )
    assert "new-environment" == told["actions"][0]["how"]
    assert {"profile": "cpu-py312", "fact": "there is no Python 3.12 on this machine"} in told["rejected"]


def test_the_lists_mark_what_is_chosen_and_what_is_current():
    """`envdoc profiles` and `envdoc generations`."""
    text = profiles_text(PROFILES, CHOICE)
    assert "* cpu-py311: torch 2.13.0 for the CPU, Python 3.11\n" in text
    assert "      no, does not fit: there is no Python 3.12 on this machine\n" in text
    assert "* 0001-cpu-py311-x  Python 3.11.7, 60 packages, 0.0 MB, built 2026-11-24\n" == generations_text(
        [current("x")]
    )
    assert generations_text([]).startswith("There is no generation yet.")


class Filled(dict):
    """Any placeholder of a message as its own name."""

    def __missing__(self, key):
        return key.upper()


def finding_of(message):
    """What a report holds of that rule where it finds its fault."""
    return Check(
        message.code,
        message.name,
        Status.FAIL,
        Severity.WARNING,
        Kind(message.kind),
        message.title.format_map(Filled()),
        fix=Fix(message.safe, tuple(line.format_map(Filled()) for line in message.remedy)),
        needs_new_environment=message.needs_new_environment,
    )


@pytest.mark.parametrize("choice", [CHOICE, choose(Snapshot(), (), PROFILES)], ids=["fits", "no-profile"])
def test_every_finding_of_every_rule_has_an_action_or_a_reason(choice):
    """Whatever a rule finds is mended, or printed with a command or a page, and always with a reason."""
    for code, message in messages().items():
        plan = make_plan([finding_of(message)], choice, TRAINED_IN)
        (action,) = plan.actions
        assert action.reason.endswith("."), code
        if message.needs_new_environment:
            wanted = How.NEW_ENVIRONMENT if choice.profile else How.PRINTED
            assert (wanted, True) == (action.how, plan.builds), code
        if action.how is How.PRINTED:
            assert action.commands or f"envdoc explain {code}" in action.reason, code


def test_the_plan_says_how_long_only_where_a_rate_was_measured():
    """No number is invented; the measured one comes with its day and its source."""
    plan = make_plan([], CHOICE, Snapshot())
    assert "is not known, since no rate was measured here: `envdoc check --online` measures it" in plan_text(
        plan
    )
    assert None is plan.to_json()["download_seconds"]
    rate = Rate(10e6, "2026-11-24T10:00:00+00:00", "the last download of an environment")
    timed = dataclasses.replace(plan, rate=rate)
    assert "at the 10.0 MB/s of the last download of an environment (2026-11-24T10:00:00+00:00)" in plan_text(
        timed
    )
    assert round(plan.download_bytes / 10e6, 1) == timed.to_json()["download_seconds"]


def test_the_plan_tells_the_disk_afterwards_and_a_cache_on_another_disk():
    """What uv's cache shares is said; where it lies elsewhere, what it needs there."""
    plan = dataclasses.replace(
        make_plan([], CHOICE, Snapshot(), installer="uv"), rooms=(Room("environment", "/e", 1, 2),)
    )
    assert "at most, shared with uv's cache by hard links" in plan_text(plan)
    two = dataclasses.replace(plan, rooms=(*plan.rooms, Room("cache", "/c", 5_000_000_000, 7_000_000_000)))
    assert "uv's cache `/c` lies on another disk, which needs 5.00 GB more; 7.00 GB are free." in plan_text(
        two
    )
    assert ["environment", "cache"] == [disk["purpose"] for disk in two.to_json()["disks"]]


@pytest.mark.parametrize(
    ("probes", "words"),
    [("not run", "rests on files alone"), ("remembered", "what `envdoc check` saw at 2026"), ("run", None)],
)
def test_the_plan_says_what_it_rests_on(probes, words):
    """A library that does not import shows only when it is run, so that the reader is told whether it was."""
    plan = dataclasses.replace(
        make_plan([], CHOICE, TRAINED_IN), probes=probes, probes_at="2026-11-24T10:00:00+00:00"
    )
    assert (words is None) == ("  " not in plan_text(plan))
    assert words is None or words in plan_text(plan)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (tools.check(code="PKG011"), True),
        (tools.check(code="PKG011", severity=Severity.WARNING), False),
        (tools.check(code="CFG040"), False),
        (tools.check(code="SYS001", kind=Kind.HOST), False),
    ],
)
def test_an_error_of_the_packages_is_mended_by_a_new_environment(found, expected):
    """A file that is gone stops training: `fix` builds, though the rule's own remedy is another installation."""
    assert expected == make_plan([found], CHOICE, TRAINED_IN).builds


def test_what_is_here_already_is_taken_off_the_download(shop, home, tmp_path):
    """By uv's entries and by files and parts of an unfinished download; without sizes, and with pip, nobody knows."""
    lock, uv = shop.profile().lock, tmp_path / "uv"
    assert cached_bytes([lock], home, uv) is None
    rows = "".join(
        f'[[packages]]\nname = "{name}"\nversion = "1"\nwheels = [{{name = "{file}", path = "{file}", size = 1000, '
        f'hashes = {{sha256 = "{name}"}}}}]\n'
        for name, file in (
            ("Big_One", "Big_One-1-py3-none-any.whl"),
            ("two", "two-1-cp311-cp311-linux_x86_64.whl"),
        )
    )
    (shop.locks / "pylock.tiny.toml").write_text(f'lock-version = "1.0"\ncreated-by = "test"\n{rows}')
    assert 0 == cached_bytes([lock], home, uv)
    (home / "wheels").mkdir(parents=True)
    (home / "wheels" / "two-1-cp311-cp311-linux_x86_64.whl.part").write_bytes(bytes(300))
    entry = uv / "wheels-v8" / "index" / "0123" / "big-one" / "1-py3-none-any"
    entry.mkdir(parents=True)
    assert (1300, 300) == (cached_bytes([lock], home, uv), cached_bytes([lock], home, None))

    whole = 2_000_000_000
    plan = dataclasses.replace(shop.plan(shop.profile()), download_bytes=whole, least_download_bytes=whole)
    for cached, told in (
        (None, "Download: at most 2.00 GB, with"),
        (0, "Download: 2.00 GB, with"),
        (1_500_000_000, "Download: at most 500.0 MB, since 1.50 GB of 2.00 GB are here already, with"),
        (2_000_000_000, "Download: nothing, since all of it (2.00 GB) is here already, with"),
    ):
        assert told in plan_text(dataclasses.replace(plan, cached_bytes=cached))
