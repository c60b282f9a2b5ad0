"""What a plan changes, package by package."""

import dataclasses

import fix_tools as tools

from envdoc.doctor.facts.snapshot import Package, Snapshot
from envdoc.doctor.fix.choose import choose
from envdoc.doctor.fix.difference import Difference, compare, difference, pins
from envdoc.doctor.fix.plan import make_plan
from envdoc.doctor.fix.present import diff_text
from envdoc.doctor.fix.profiles import load_profiles
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.fix.settings import Step


def test_old_goes_before_new_and_what_stays_is_only_counted():
    """`- torch 2.0.1`, `+ torch 2.11.0`, by name."""
    there = {"torch": "2.0.1", "numpy": "1.24.4", "alpha": "1", "pip": "25.0"}
    found = compare(there, {"torch": "2.11.0", "numpy": "1.24.4", "peft": "0.21.2"})
    assert ["- alpha 1", "+ peft 0.21.2", "- torch 2.0.1", "+ torch 2.11.0"] == found.lines()
    assert 1 == found.unchanged
    assert {
        "added": [{"name": "peft", "version": "0.21.2"}],
        "removed": [{"name": "alpha", "version": "1"}],
        "changed": [{"name": "torch", "from": "2.0.1", "to": "2.11.0"}],
        "unchanged": 1,
    } == found.to_json()


def test_every_pin_of_every_lock_is_read():
    """Each shipped lock names torch in the version that its profile says, the CUDA wheels too where they lie apart."""
    for profile in load_profiles():
        found = difference(Snapshot(), profile)
        assert profile.torch == dict(found.added)["torch"].partition("+")[0], profile.name
        assert len(found.added) > 40, profile.name
        assert () == (*found.removed, *found.changed)


def test_names_are_compared_normalised_and_markers_left_out(tmp_path):
    """`Huggingface_Hub[torch]==1.0 ; python_version...` is huggingface-hub 1.0."""
    lock = tmp_path / "a.txt"
    lock.write_text(
        "--only-binary :all:\nHuggingface_Hub[torch]==1.0 ; python_version < '4' \\\n"
        "    --hash=sha256:00\n# via x==3\nruamel.yaml==2.0 --hash=sha256:11\n"
    )
    assert {"huggingface-hub": "1.0", "ruamel-yaml": "2.0"} == pins([lock])


def test_the_first_on_the_search_path_is_what_is_there(shop):
    """Of two copies the one that is imported is compared."""
    snapshot = Snapshot(packages=(Package("alpha", "1.0", "/a"), Package("alpha", "9.0", "/b")))
    assert () == difference(snapshot, shop.profile()).changed


def test_the_diff_of_a_plan_has_packages_and_settings(shop):
    """Text and JSON say the same; without --diff there is no key of that name."""
    profile = shop.profile()
    choice = choose(Snapshot(), [Python(tools.MINOR, tools.BASE, "3")], [profile])
    step = Step("unset", "USE_TF", seen="0")
    snapshot = Snapshot(packages=(Package("alpha", "0.9"),))
    plan = make_plan(
        [tools.check(code="CFG026", kind=tools.Kind.HOST)], choice, snapshot, in_place=lambda check: (step,)
    )
    assert "diff" not in plan.to_json()
    plan = dataclasses.replace(plan, difference=difference(snapshot, profile))
    assert (
        "- alpha 0.9\n+ alpha 1.0\n+ beta 2.0\n~ unset variable USE_TF\n"
        "1 come, 0 go, 1 change, 0 stay; in a new environment, beside the present one.\n"
    ) == diff_text(plan)
    assert ["unset variable USE_TF"] == plan.to_json()["diff"]["settings"]


def test_where_nothing_changes_the_diff_is_a_sentence():
    """And no empty output, which a reader would take for a failure."""
    trained = Snapshot(
        packages=tuple(Package(n, "1") for n in ("torch", "transformers", "peft", "accelerate"))
    )
    plan = make_plan([], choose(Snapshot(), (), []), trained)
    told = diff_text(dataclasses.replace(plan, difference=Difference()))
    assert "Nothing changes. No finding needs a new environment.\n" == told
