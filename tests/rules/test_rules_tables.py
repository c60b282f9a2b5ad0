"""The tables are complete, ordered and dated; their loaders answer as the sources say."""

from pathlib import Path

import pytest

from envdoc.doctor.tables import load
from envdoc.doctor.tables.architectures import serving
from envdoc.doctor.tables.bitsandbytes_builds import bitsandbytes_release, bitsandbytes_releases, library_for
from envdoc.doctor.tables.couplings import couplings, torch_minimum
from envdoc.doctor.tables.cuda_drivers import exact_floor, gpu_floor, minor_floor, newest_cuda, service
from envdoc.doctor.tables.gpu_names import capability_by_name, name_by_pci_id
from envdoc.doctor.tables.python_ceilings import ceilings
from envdoc.doctor.tables.storage_floors import floor_for
from envdoc.doctor.tables.torch_builds import torch_release, torch_releases
from envdoc.doctor.tables.versions import numbers, satisfies, specifiers

TABLES = sorted(path.stem for path in (Path(__file__).parents[2] / "doctor" / "tables").glob("*.toml"))


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_source_and_date(name):
    """A number without a source is a rumour."""
    table = load(name)
    assert table["source"]
    assert "2026-" == table["date"][:5]


@pytest.mark.parametrize(
    ("names", "capability", "served"),
    [
        (["sm_86"], "8.9", "binary"),  # the seed's 4090 on torch 2.0.1
        (["sm_86"], "9.0", ""),
        (["sm_89"], "8.6", ""),
        (["sm_80"], "8.6", "binary"),
        (["sm_90a"], "9.0", "binary"),
        (["sm_90a"], "10.0", ""),
        (["sm_100f"], "10.3", "binary"),
        (["sm_100f"], "12.0", ""),
        (["sm_100a"], "10.3", ""),
        (["compute_86"], "9.0", "ptx"),
        (["compute_86"], "8.0", ""),
        (["compute_90a"], "10.0", ""),
        (["compute_100f"], "12.0", ""),
        (["sm_50", "compute_50"], "5.2", "binary"),
        (["gfx90a"], "9.0", ""),
        ([], "9.0", ""),
        (["sm_120"], "12.1", "binary"),
    ],
)
def test_same_major_rule(names, capability, served):
    """A binary serves its own major from its minor on; PTX serves everything later; a suffix binds."""
    assert served == serving(names, capability)


@pytest.mark.parametrize(
    ("driver", "driver_cuda", "cuda", "answer"),
    [
        ("515.43.04", "11.7", "11.7", "exact"),
        ("450.80.02", "11.0", "11.7", "minor"),
        ("450.36.06", "11.0", "11.7", "none"),
        ("450.80.02", "", "11.7", "minor"),
        ("525.60.13", "", "12.8", "minor"),
        ("520.61.05", "11.8", "12.1", "none"),
        ("570.124.06", "12.8", "13.0", "none"),
        ("580.65.06", "13.0", "13.2", "minor"),
        ("550.163.01", "13.0", "13.0", "exact"),  # forward compatibility
        ("580.95.05", "12.4", "13.0", "none"),  # an old libcuda is loaded
        ("595.71.05", "", "11.7", "exact"),
        ("440.33", "", "10.2", "exact"),
        ("418.39", "10.1", "10.2", "none"),  # before CUDA 11 only the exact driver serves
        ("", "", "12.1", ""),
        ("535.54.03", "", "99.0", ""),
        ("535.54.03", "12.2", "12.2.2", "exact"),
    ],
)
def test_driver_service(driver, driver_cuda, cuda, answer):
    """Exact and minor-version floors are kept apart, and what the driver itself says goes first."""
    assert answer == service(driver, driver_cuda, cuda)


def test_driver_floors():
    """The numbers that users meet."""
    assert ("515.43.04", "450.80.02") == (exact_floor("11.7"), minor_floor("11.7"))
    assert ("570", None) == (gpu_floor("10.0"), gpu_floor("9.0"))
    assert ("12.2", None) == (newest_cuda("535.129.03"), newest_cuda("300.1"))
    assert (None, "525.60.13") == (exact_floor("12.7"), minor_floor("12.7"))


def test_driver_floors_rise_with_cuda():
    """A newer CUDA never needs an older driver."""
    floors = [
        numbers(floor)
        for _, floor in sorted(load("cuda_drivers")["exact"].items(), key=lambda p: numbers(p[0]))
    ]
    assert sorted(floors) == floors


def test_torch_rows_agree_with_the_driver_table():
    """Each torch row's floors are those of its CUDA, or of an update of that release."""
    for row in torch_releases():
        exact = exact_floor(row.cuda)
        assert exact is not None and numbers(row.driver_exact) >= numbers(exact)
        assert row.driver_minor == minor_floor(row.cuda)


def test_torch_release():
    """A build is looked up by its public version, and refused for another CUDA than the row's."""
    assert ("11.7", True, None) == (
        torch_release("2.0.1+cu117").cuda,
        torch_release("2.3.0").numpy_2,
        torch_release("2.0.1+cu118", "11.8"),
    )
    assert [False, False, False, True] == [
        torch_release(v).numpy_2 for v in ("2.0.1", "2.1.2", "2.2.2", "2.3.0")
    ]
    assert None is torch_release("1.13.1")


def test_bitsandbytes_series():
    """A version takes the row of its series."""
    assert ("0.45.5", "0.50.2", None) == (
        bitsandbytes_release("0.45.2").version,
        bitsandbytes_release("0.50.0").version,
        bitsandbytes_release("0.51.0"),
    )
    assert 12 == len(bitsandbytes_releases())


@pytest.mark.parametrize(
    ("version", "shipped", "cuda", "library"),
    [
        ("0.45.5", ["11.7", "12.8"], "11.7", "11.7"),
        ("0.45.5", ["11.7", "12.8"], "12.6", None),
        ("0.49.2", ["12.8", "13.0"], "13.2", None),
        ("0.50.2", ["12.1", "12.6", "12.8"], "12.4", "12.1"),
        ("0.50.2", ["12.6", "12.8"], "12.4", "12.6"),
        ("0.50.2", ["12.8", "13.0"], "13.2", "13.0"),
        ("0.50.2", ["11.8", "12.8"], "13.0", None),
        ("0.50.2", [], "13.0", None),
    ],
)
def test_library_that_bitsandbytes_opens(version, shipped, cuda, library):
    """Exact before 0.50; from then on the highest older one of the same major, then the lowest newer one."""
    assert library == library_for(version, shipped, cuda)


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("NVIDIA GeForce RTX 4090", "8.9"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "8.9"),
        ("NVIDIA H200", "9.0"),
        ("NVIDIA A100-SXM4-80GB", "8.0"),
        ("NVIDIA A10G", "8.6"),
        ("NVIDIA RTX A6000", "8.6"),
        ("NVIDIA RTX 6000 Ada Generation", "8.9"),
        ("Quadro RTX 6000", "7.5"),
        ("Tesla V100-SXM2-16GB", "7.0"),
        ("NVIDIA GeForce GTX 1650", "7.5"),
        ("NVIDIA B200", "10.0"),
        ("NVIDIA GB200", "10.0"),
        ("NVIDIA L4", "8.9"),
        ("Some Other Card", None),
    ],
)
def test_capability_by_name(name, capability):
    """The product name tells the capability where NVML does not; unknown names tell nothing."""
    assert capability == capability_by_name(name)


def test_names_on_the_pci_bus_have_a_capability():
    """Each PCI id names a card whose capability the other table knows."""
    assert {} == {i: n for i, n in load("gpu_names")["pci"].items() if capability_by_name(n) is None}
    assert ("GeForce RTX 4090", None) == (name_by_pci_id("0x2684"), name_by_pci_id("0xffff"))


def test_couplings_are_well_formed():
    """Each row has a unique name, a rule, specifiers that can be read, and evidence with a version in it."""
    rows = couplings()
    assert len(rows) == len({row.slug for row in rows})
    for row in rows:
        assert row.severity in ("error", "warning", "info")
        assert all(specifiers(specifier) is not None for _, specifier in row.pair), row.slug
        assert any(character.isdigit() for character in row.evidence), row.slug
        assert len(row.effect) < 42, row.slug


def test_a_version_that_cannot_be_read_is_blamed_for_nothing():
    """No row holds for a pair of which one version is none."""
    row = next(row for row in couplings() if row.slug == "peft-clear-device-cache")
    told = {"peft": "0.21.2", "accelerate": "patched-by-me"}
    assert [False, True] == [row.holds({**told, "accelerate": v}.get) for v in ("patched-by-me", "0.30.1")]


def test_what_a_row_recommends_is_outside_its_bounds():
    """The first recommendation of a row, where it is a version, is not what the row warns of."""
    for row in couplings():
        name, _, rest = row.works.partition(">=")
        bounds = dict(row.pair)
        if rest and name in bounds:
            version = rest.replace(";", ",").split(",")[0].split()[0]
            assert not satisfies(version, bounds[name]), row.slug


@pytest.mark.parametrize(
    ("transformers", "minimum"),
    [
        ("4.51.3", None),
        ("4.53.3", "2.1"),
        ("4.57.1", "2.1"),
        ("5.0.0", "2.2"),
        ("5.3.0", "2.4"),
        ("5.15.0", "2.5"),
        ("5.20.2", "2.6"),
        ("5.23.0", "2.6"),
    ],
)
def test_torch_minimum(transformers, minimum):
    """That of the newest release up to it which was looked at."""
    assert minimum == torch_minimum(transformers)


def test_python_ceilings():
    """Python 3.8 is the seed's; 3.11 and newer have none."""
    assert ("2.4.1", "4.46.3", {}) == (
        ceilings("3.8.18")["torch"],
        ceilings("3.8")["transformers"],
        ceilings("3.11.7"),
    )


def test_storage_floors():
    """The worst level that applies is told."""
    cache = floor_for("cache")
    assert [None, "info", "warning", "error"] == [cache.level(n * 10**9) for n in (20, 14, 4, 0)]
    assert None is floor_for("shm")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("580.95.05", (580, 95, 5)),
        ("13.0", (13, 0)),
        ("2.36", (2, 36)),
        ("", ()),
        ("unknown", ()),
        ("470 beta", (470,)),
    ],
)
def test_numbers(text, parts):
    """Versions of drivers compare number by number; no version is older than any."""
    assert parts == numbers(text)


def test_what_cannot_be_judged_is_not_blamed():
    """Legacy versions and specifiers that PEP 440 cannot read fit everything."""
    assert (True, True, True, False) == (
        satisfies("custom-build", ">=2"),
        satisfies("1.0", "~banana"),
        satisfies("2.13.0+cpu", ">=2.6"),
        satisfies("2.0.0rc1", ">=2.0"),
    )
