"""The choice over a hundred machines, and what must hold for it on all of them."""

import itertools

import pytest
from choice_tools import PROFILES, machine, pythons
from machines import A100, B200, GTX1080TI, H100, IMAGES, MACHINES, RTX3090, RTX5090, T4, V100

from envdoc.doctor.fix.choose import choose, way_out
from envdoc.doctor.fix.fit import gpu_obstacles
from envdoc.doctor.fix.machine import seen
from envdoc.doctor.fix.profiles import load_profiles
from envdoc.doctor.tables.cuda_drivers import exact_floor, last_driver, minor_floor
from envdoc.doctor.tables.versions import numbers

NAMES = [row[0] for row in MACHINES]
DRIVERS = [
    "450.80.02", "470.256.02", "510.108.03", "515.65.01", "520.61.05", "525.60.13", "535.183.01", "545.23.08",
    "550.54.15", "555.42.06", "560.35.03", "565.57.01", "570.133.20", "575.51.03", "580.65.06", "580.95.05",
    "590.44.01", "595.71.05", "610.43.02",
]  # fmt: skip
CARDS = [GTX1080TI, V100, T4, A100, RTX3090, H100, B200, RTX5090]


SHIPPED = load_profiles()


def chosen(row, profiles=PROFILES):
    """What the machine of that row gets."""
    _, cards, driver, image, more, *_ = row
    glibc, minors = IMAGES[image]
    more = {"glibc": glibc, **more}
    free = more.pop("free", None)
    return choose(machine(cards, driver, **more), pythons(minors), profiles, free)


@pytest.mark.parametrize("row", MACHINES, ids=NAMES)
def test_each_machine_gets_its_profile_its_support_and_its_way_out(row):
    """The table is the contract: at least sixty machines, each with the profile or the one fact in the way."""
    choice = chosen(row)
    kind = choice.nearest.kind if choice.nearest else ("none" if choice.gpu_unused else "")
    assert row[5:] == (choice.profile.name if choice.profile else None, choice.support, kind)


def test_the_table_is_large_enough_and_names_each_machine_once():
    """At least sixty."""
    assert len(MACHINES) >= 60
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("row", MACHINES, ids=NAMES)
def test_every_profile_has_its_verdict(row):
    """Each is chosen, fits, or has one fact against it; the way out names a profile that does not fit as it is."""
    choice = chosen(row)
    told = {name for name, _ in choice.rejected} | {name for name, _ in choice.supports}
    assert {profile.name for profile in PROFILES} == told
    assert all(fact for _, fact in choice.rejected)
    if choice.nearest is not None:
        assert choice.nearest.profile in dict(choice.rejected)
        assert choice.nearest.fact == dict(choice.rejected)[choice.nearest.profile]
        assert 1 <= len(choice.nearest.changes) <= 3
    assert (choice.nearest is None) or choice.nearest.text == way_out(choice)


@pytest.mark.parametrize(
    "cards", [[card] for card in CARDS] + [[GTX1080TI, A100], [V100, H100], [A100, B200]]
)
def test_a_newer_driver_never_makes_a_served_machine_unserved(cards):
    """Nor does it turn direct support into another, or lead to an older torch."""
    before = None
    for driver in DRIVERS:
        choice = choose(machine(cards, driver), pythons(("3.8", "3.11", "3.12")), PROFILES)
        if before is not None and not before.gpu_unused:
            assert not choice.gpu_unused
            assert numbers(choice.profile.torch) >= numbers(before.profile.torch)
        before = choice


@pytest.mark.parametrize("driver", DRIVERS)
def test_another_gpu_never_widens_what_fits(driver):
    """The profiles that serve two cards serve each of them."""

    def serving(*cards):
        facts = seen(machine(list(cards), driver))
        return {
            profile.name for profile in PROFILES if not profile.is_cpu and not gpu_obstacles(profile, facts)
        }

    for one, other in itertools.combinations(CARDS, 2):
        assert serving(one, other) == serving(one) & serving(other)


@pytest.mark.parametrize("cards", [[GTX1080TI, RTX5090, A100], [V100, A100, H100], [T4, GTX1080TI, RTX3090]])
def test_the_order_of_the_gpus_changes_nothing(cards):
    """Neither profile nor support; the slots of a box are an accident."""
    found = {
        (choice.profile.name, choice.support, choice.gpu_unused, choice.nearest and choice.nearest.kind)
        for order in itertools.permutations(cards)
        for choice in [choose(machine(list(order), "580.95.05"), pythons(("3.11", "3.12")), PROFILES)]
    }
    assert 1 == len(found)


@pytest.mark.parametrize("row", [row for row in MACHINES if row[7] == "driver"], ids=lambda row: row[0])
def test_the_driver_that_is_named_is_enough_and_the_one_before_is_not(row):
    """What the way out says is true: with that driver the profile fits."""
    choice = chosen(row)
    named = next(word for word in choice.nearest.changes[0].split() if word[0].isdigit())
    after = chosen((row[0], row[1], named, row[3], {k: v for k, v in row[4].items() if k != "cuda"}))
    assert choice.nearest.profile not in dict(after.rejected)
    assert not after.gpu_unused


def test_words_of_a_way_out():
    """One sentence each that can be followed."""

    def text(name):
        return way_out(chosen(next(row for row in MACHINES if row[0] == name)))

    assert "Update the NVIDIA driver to 525.60.13 or newer: then `py311-torch210-cu128` fits." == text(
        "V100, driver 470, Python 3.11"
    )
    assert "Update the NVIDIA driver to 570 or newer: then `py312-torch210-cu128` fits." == text(
        "B200, driver 550"
    )
    assert (
        "Leave out GTX 1080 Ti with `export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=1`: "
        "then `py312-torch214-cu130` fits." == text("1080 Ti and 5090")
    )
    assert text("CPU, Python 3.14 only").startswith("Install Python 3.11: `uv python install 3.11`, or where")
    assert "Free 0.8 GB, or name a folder on another disk with ENVDOC_HOME: then `cpu-py311` fits." == text(
        "small disk"
    )
    assert text("GB200").startswith("Use a Linux x86_64 machine: ")
    assert text("Windows").startswith("Run envdoc in WSL 2 on this computer")
    assert text("K80 of p2").startswith("No change to this machine makes one fit")


def test_following_the_way_out_of_a_mixed_box_serves_what_is_left():
    """The variables that it names are understood when the choice is made again."""
    variables = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1"}
    box = machine([GTX1080TI, RTX5090], "580.95.05", variables=variables)
    choice = choose(box, pythons(("3.12",)), PROFILES)
    assert ("py312-torch214-cu130", "direct", None) == (choice.profile.name, choice.support, choice.nearest)


def test_a_number_alone_does_not_say_which_card_of_a_mixed_box():
    """CUDA counts from the fastest on, nvidia-smi by the bus: both cards are then held against a profile."""
    box = machine([GTX1080TI, RTX5090], "580.95.05", variables={"CUDA_VISIBLE_DEVICES": "1"})
    assert choose(box, pythons(("3.12",)), PROFILES).gpu_unused


@pytest.mark.parametrize(
    ("where", "words"), [({"container": "docker"}, "on the host"), ({"wsl": True}, "on Windows")]
)
def test_whose_driver_is_to_be_updated_is_said(where, words):
    """A container and WSL have none of their own."""
    choice = choose(machine([H100], "470.256.02", **where), pythons(("3.11",)), PROFILES)
    assert words in way_out(choice)


@pytest.mark.parametrize(
    ("card", "driver", "offered"),
    [
        (H100, "470.256.02", True),
        ("RTX A6000 8.6", "470.256.02", False),
        (H100, "510.108.03", False),
        (B200, "550.54.15", False),
    ],
)
def test_a_forward_compatibility_package_is_offered_where_nvidia_supports_it(card, driver, offered):
    """Data-centre GPUs under R470, R525, R535 and R550, and no GPU that is newer than the driver."""
    newer = [profile for profile in PROFILES if not profile.last_resort]
    way = choose(machine([card], driver, container="docker"), pythons(("3.11",)), newer).nearest
    assert offered == ("cuda-compat-12-8" in way.text)


def test_in_a_container_an_older_python_is_nearer_than_the_driver_of_the_host():
    """With a driver of one's own the newer stack is the nearer one; both serve a T4 under driver 470."""
    own, rented = (
        choose(machine([T4], "470.256.02", container=name), pythons(("3.11",)), PROFILES).nearest
        for name in ("", "docker")
    )
    assert ("driver", "py311-torch210-cu128") == (own.kind, own.profile)
    assert ("python", "py38-torch20-cu117") == (rented.kind, rented.profile)


def test_what_each_kind_of_support_means_is_told():
    """In words, and in the JSON with the same keys for all."""

    def told(name):
        choice = chosen(next(row for row in MACHINES if row[0] == name))
        assert {"support", "support_notes", "way_out"} == set(choice.to_json())
        return " ".join(choice.reasons)

    assert "compile from PTX does not, nor does what came with later drivers" in told("H100, driver 535")
    assert "Support: direct. Nothing is missing." in told("A100, driver 570")
    assert "B200 needs driver 570 of its own, and has it." in told("B200, driver 580")
    assert "Not known: which driver this is" in told("driver hidden, CUDA 12.4")
    assert "cuda-compat) stands before driver 535.183.01" in told("cuda-compat 13.0 over 535")
    assert "An older libcuda, for CUDA 12.4, is loaded in place of" in told("an image's old libcuda")


@pytest.mark.parametrize("profile", [one for one in PROFILES if not one.is_cpu], ids=lambda one: one.name)
def test_the_floors_of_these_profiles_are_those_of_the_table(profile):
    """The machines' expectations rest on doctor/tables/cuda_drivers.toml."""
    assert numbers(profile.driver_exact) >= numbers(exact_floor(profile.cuda))
    assert numbers(profile.driver_minor) == numbers(minor_floor(profile.cuda))


@pytest.mark.parametrize("row", MACHINES, ids=NAMES)
def test_the_shipped_profiles_serve_at_least_what_they_must(row):
    """Whatever lockfiles ship: no GPU without code, no driver below its floors, and never a last resort where another
    serves."""
    choice = chosen(row, SHIPPED)
    _, cards, driver, _, more, *_ = row
    if choice.profile is None or choice.support in ("cpu", ""):
        return
    facts = seen(machine(cards, driver, **{k: v for k, v in more.items() if k != "free"}))
    assert () == gpu_obstacles(choice.profile, facts)
    others = [one for one in SHIPPED if not one.last_resort and one.name in dict(choice.supports)]
    if choice.profile.last_resort:
        assert not [one for one in others if not one.is_cpu and dict(choice.supports)[one.name] != "cpu"]


def test_a_pascal_card_is_never_told_to_take_a_driver_that_has_left_it():
    """The 580 branch is the last for Pascal, 470 for Kepler."""
    for row in MACHINES:
        choice = chosen(row)
        if choice.nearest is None or choice.nearest.kind not in ("driver", "gpu-driver"):
            continue
        named = next(word for word in choice.nearest.changes[0].split() if word[0].isdigit())
        lasts = [last_driver(card.rpartition(" ")[2]) for card in row[1]]
        assert all(last is None or numbers(named)[:1] <= numbers(last)[:1] for last in lasts)
