"""Profiles and machines for the tests of the choice: no lockfile, no interpreter, no GPU."""

from pathlib import Path

from envdoc.doctor.facts.snapshot import Driver, Gpu, Host, Interpreter, Snapshot, System
from envdoc.doctor.fix.profiles import CpuBuild, Profile
from envdoc.doctor.fix.pythons import Python

PASCAL_ON = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
VOLTA_ON = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
TURING_ON = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
RECIPE = ["sm_37", "sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86"]


def cuda_profile(name, python, torch, cuda, exact, minor, torch_codes, bnb_codes=None, glibc="2.28", **more):
    """A profile as profiles.toml describes one."""
    return Profile(
        name, f"torch {torch} with CUDA {cuda}, Python {python}", python, torch, cuda, exact, minor,
        tuple(torch_codes), tuple(bnb_codes or torch_codes), glibc, 4_000_000_000, 8_000_000_000, "2026-11-24",
        "trained", Path(name + ".txt"), **more,
    )  # fmt: skip


def cpu_profile(python, torch="2.13.0"):
    """A profile for the CPU."""
    build = CpuBuild("torch", 400_000_000, 1_800_000_000)
    return Profile(
        "cpu-py" + python.replace(".", ""), "for the CPU", python, torch, "", "", "", (), (), "2.28",
        3_000_000_000, 5_800_000_000, "2026-11-24", "trained", Path("cpu.txt"), cpu_build=build,
    )  # fmt: skip


def _named(python, torch, cuda):
    return f"py{python.replace('.', '')}-torch{torch.rsplit('.', 1)[0].replace('.', '')}-cu{cuda.replace('.', '')}"


def _family(pythons, torch, cuda, exact, minor, codes):
    return [
        cuda_profile(_named(python, torch, cuda), python, torch, cuda, exact, minor, codes)
        for python in pythons
    ]


PROFILES = (
    *_family(["3.12", "3.11", "3.13"], "2.15.0", "13.2", "595.71.05", "580", TURING_ON),
    *_family(["3.12", "3.11", "3.13"], "2.14.1", "13.0", "580.95.05", "580", TURING_ON),
    *_family(["3.12", "3.11", "3.10", "3.13"], "2.11.0", "13.0", "580.65.06", "580", TURING_ON),
    *_family(["3.12", "3.11", "3.10", "3.13"], "2.10.0", "12.8", "570.26", "525.60.13", VOLTA_ON),
    *_family(["3.9"], "2.8.0", "12.8", "570.26", "525.60.13", VOLTA_ON),
    *_family(["3.12", "3.11", "3.10"], "2.7.1", "12.6", "560.28.03", "525.60.13", PASCAL_ON),
    *(cpu_profile(python) for python in ("3.11", "3.12", "3.13", "3.10")),
    cpu_profile("3.9", "2.8.0"),
    cuda_profile(
        "py38-torch20-cu117", "3.8", "2.0.1", "11.7", "515.43.04", "450.80.02", RECIPE,
        ["sm_50", "sm_52", "sm_60", "sm_61", "sm_70", "sm_75", "sm_80", "sm_86"], "2.24", last_resort=True,
    ),
)  # fmt: skip


def pythons(minors):
    """Usable interpreters of these minor versions."""
    return tuple(Python(minor, f"/usr/bin/python{minor}", minor + ".7") for minor in minors)


def machine(cards=(), driver="", cuda="", glibc="2.36", system="Linux", arch="x86_64", **more):
    """A snapshot. A card is "name capability"; `init` is cuInit's answer; `wsl`, `container`, `libc`, `variables`."""
    gpus = [card.rpartition(" ") for card in cards]
    return Snapshot(
        interpreter=Interpreter(system=system, machine=arch),
        driver=Driver(version=driver, cuda=cuda, cuda_init_code=more.get("init")),
        gpus=tuple(Gpu(i, name, code if code != "?" else "") for i, (name, _, code) in enumerate(gpus)),
        host=Host(glibc=glibc, is_wsl=more.get("wsl", False), container=more.get("container", "")),
        system=System(libc=more.get("libc", "glibc")),
        variables=more.get("variables", {}),
    )
