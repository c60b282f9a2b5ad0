"""Whole machines, recorded or put together from real parts, get the findings that are right and no others."""

import json
import time
from dataclasses import replace

import pytest
from rule_machines import RECORDED, recorded, recorded_names

from envdoc.doctor.facts.collect import collect
from envdoc.doctor.facts.snapshot import from_json
from envdoc.doctor.finding import Status, Target
from envdoc.doctor.rules.registry import all_rules, judge

EXPECTED = {
    "seed-4090": {
        "CFG002": "info",
        "CFG010": "info",
    },  # Python 3.8, and the toolkit that the recipe calls "CUDA 12"
    "h100-cu130": {},
    "h200-cu130": {},  # recorded on a real one, with every probe; see docs/gpu-h200.md
    "h100-deep": {
        "CFG043": "warning"
    },  # recorded on a real one with `facts --deep`; pip there is the system's
    "cpu": {"GPU001": "info"},
    "gtx1080-driver470": {"DRV010": "error", "TOR003": "error", "BNB003": "error", "BNB004": "warning"},
    "b200": {"TOR003": "error"},
    "wsl": {},
    "ngc-25.10": {},  # NVIDIA's image of PyTorch, its own torch over driver 570 by its compat libcuda
    "jetson-orin": {
        "BNB001": "info",
        "CFG002": "info",
    },  # NVIDIA's wheel for Jetson, Python 3.10, no bitsandbytes
    "t4-container": {"DRV011": "info", "SYS004": "warning"},
}


def findings(snapshot):
    """Code and severity of every failed check."""
    return {check.code: check.severity.value for check in judge(snapshot) if check.failed}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_machine_gets_its_findings_and_no_others(name):
    """A miss and a false alarm are the same fault."""
    assert EXPECTED[name] == findings(recorded(name))


@pytest.mark.parametrize("name", recorded_names())
def test_no_rule_crashes_on_a_recorded_machine(name):
    """Whatever a snapshot holds, every rule comes to an end."""
    assert [] == [check for check in judge(recorded(name)) if check.status is Status.CRASHED]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_recorded_machines_are_snapshots_of_this_schema(name):
    """The files say what the dataclasses say, nothing more and nothing less."""
    text = (RECORDED / f"{name}.json").read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(from_json(text).to_json())


@pytest.mark.parametrize(
    "driver", ["525.60.13", "525.105.17", "535.129.03", "550.54.15", "580.95.05", "595.71.05"]
)
@pytest.mark.parametrize("cuda_told", [True, False])
def test_seed_machine_is_healthy_on_every_driver_that_serves_it(driver, cuda_told):
    """torch 2.0.1+cu117 on a 4090 is well from driver 515 on, be the driver's CUDA told or not."""
    machine = recorded("seed-4090")
    cuda = (
        {"525": "12.0", "535": "12.2", "550": "12.4", "580": "13.0", "595": "13.2"}[driver[:3]]
        if cuda_told
        else ""
    )
    told = replace(
        machine.driver, version=driver, nvml_version=driver, kernel_module_version=driver, cuda=cuda
    )
    assert {"CFG002": "info", "CFG010": "info"} == findings(replace(machine, driver=told))


def test_h200_is_served_like_h100():
    """sm_90 is one family; the name does not matter."""
    machine = recorded("h100-cu130")
    h200 = replace(machine.gpus[0], name="NVIDIA H200", memory_bytes=143771 << 20)
    assert {} == findings(replace(machine, gpus=(h200,)))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_machine_of_which_nothing_else_is_known_crashes_no_rule(name):
    """A collector that failed leaves its defaults; rules skip what they need and judge the rest."""
    machine = recorded(name)
    for field in ("interpreter", "driver", "host", "toolkit", "jupyter"):
        bare = replace(machine, **{field: type(getattr(machine, field))()})
        assert [] == [check.detail for check in judge(bare) if check.status is Status.CRASHED]
    for field in ("packages", "gpus", "pci_devices", "device_nodes", "storage"):
        bare = replace(machine, **{field: ()})
        assert [] == [check.detail for check in judge(bare) if check.status is Status.CRASHED]
    for field in ("torch", "bitsandbytes", "transformers"):
        bare = replace(machine, **{field: None})
        assert [] == [check.detail for check in judge(bare) if check.status is Status.CRASHED]


def test_real_environment_gets_no_false_alarm(patient):
    """The environment that the tests train in, as it is: nothing but what this machine itself explains."""
    snapshot = collect(Target(str(patient), "test"))
    about_the_host = ("GPU", "DRV", "SYS", "CFG")
    assert {} == {
        code: level for code, level in findings(snapshot).items() if not code.startswith(about_the_host)
    }


def test_judging_is_fast():
    """One snapshot of 70 packages takes less than 20 ms once the rules and packaging are imported."""
    machine, rules = recorded("seed-4090"), all_rules()
    judge(recorded("cpu"), rules)  # imports packaging and reads the tables
    seconds = []
    for number in range(5):
        fresh = replace(
            machine, interpreter=replace(machine.interpreter, prefix=f"/env/{number}")
        )  # no cached answer
        started = time.process_time()
        judge(fresh, rules)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.02
