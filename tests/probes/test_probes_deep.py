"""The probes of `check --deep`, really run: what needs a GPU runs in small on the CPU, by ENVDOC_PROBE_DEVICE=cpu."""

import subprocess

import pytest

from envdoc.doctor.facts.snapshot import ProbeResult
from envdoc.doctor.probes.deep import DEEP_GPU_PROBES, DEEP_PROBES, run_deep
from envdoc.doctor.probes.runner import run_probes


@pytest.fixture
def pretend(patient, monkeypatch):
    """pretend(PROBE, VARIABLE=VALUE) -> its result in the patient, on the CPU as if that were its GPU."""

    def run(probe, **variables):
        monkeypatch.setenv("ENVDOC_PROBE_DEVICE", "cpu")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        (result,) = run_deep(str(patient), (), names=(probe,))
        assert ("ran", "") == (result.status, result.error)
        return result

    return run


@pytest.mark.parametrize("probe", DEEP_GPU_PROBES)
def test_without_a_gpu_they_say_so(probe, patient):
    """On a machine without a GPU each ends well, and says what it did not look at."""
    (result,) = run_deep(str(patient), (), names=(probe,))
    if probe == "lora_variants":
        assert {"skipped": "torch sees no GPU"} == result.data["cases"]["four_bit"]
    else:
        assert ("skipped", "torch sees no GPU") == (result.status, result.error)


def test_a_torch_that_died_is_not_tried_again():
    """Where torch_runs ended badly, no deep probe is started."""
    died = ProbeResult("torch_runs", "signal", error="SIGILL while importing torch")
    results = run_deep("/no/such/python", (died,))
    assert [(name, "skipped") for name in DEEP_PROBES] == [(result.name, result.status) for result in results]


def test_rates_are_measured(pretend, findings):
    """Every copy and every precision has a rate; a device that no table knows is not judged."""
    result = pretend("gpu_rates")
    (gpu,) = result.data["gpus"]
    rates = [gpu["copy"][f"{way}_bytes_per_second"] for way in ("device", "to_device", "to_host")]
    rates += [seen["flops_per_second"] for seen in gpu["multiply"].values()]
    assert 7 == sum(rate > 1e6 for rate in rates)
    assert {} == findings(result)


def test_memory_that_keeps_its_contents(pretend, findings):
    """Good memory has no difference in any of five patterns."""
    result = pretend("gpu_memory")
    assert {0} == {seen["wrong_words"] for seen in result.data["gpus"][0]["patterns"].values()}
    assert 5 == len(result.data["gpus"][0]["patterns"])
    assert {} == findings(result)


def test_one_flipped_bit_is_found(pretend, findings):
    """One bit of one word in 64 MiB is found in each pattern, with its place."""
    result = pretend("gpu_memory", ENVDOC_PROBE_FLIP="1")
    place = {"word": 3 * (4 << 20) + 7, "bits": "00100000"}
    patterns = result.data["gpus"][0]["patterns"].values()
    assert [{"wrong_words": 1, "first": place}] * 5 == list(patterns)
    assert ["GPU057"] == list(findings(result))


def test_processes_add_up(pretend, findings):
    """Two processes find the right sum at the first attempt, and its rate."""
    result = pretend("nccl_all_reduce")
    (attempt,) = result.data["attempts"]
    assert ([], 0) == (attempt["variables"], attempt["wrong_values"])
    assert attempt["bus_bytes_per_second"] > 0
    assert {} == findings(result)


def test_a_hang_names_the_variable_that_ends_it(pretend, findings):
    """Processes that hang unless a way is switched off are ended, and the setting that helps is the remedy."""
    result = pretend("nccl_all_reduce", ENVDOC_PROBE_HANG="NCCL_P2P_DISABLE")
    assert [[], ["NCCL_P2P_DISABLE"]] == [attempt["variables"] for attempt in result.data["attempts"]]
    assert "not done after 45 s while adding" == result.data["attempts"][0]["error"]
    found = findings(result)
    assert ["GPU059"] == list(found)
    assert ("export NCCL_P2P_DISABLE=1",) == found["GPU059"].fix.commands


def test_workers_hand_over_their_batches(patient, findings):
    """With the machine's own /dev/shm every batch comes as it was sent."""
    (result,) = run_deep(str(patient), (), names=("loader_workers",))
    assert [8, 8] == [seen["batches"] for seen in result.data["loads"].values()]
    assert {} == findings(result)


@pytest.mark.parametrize(("size", "code"), [("1m", "SYS070"), ("64m", "SYS071")])
def test_workers_without_room(size, code, patient, findings, tmp_path):
    """A /dev/shm of 1 MiB stops text, and docker's 64 MiB stop what is larger; the worker's own words are told."""
    mount = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a /dev/shm of our own")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {' '.join(mount[:2])} sh -c '{mount[4]}' sh {patient} \"$@\"\n")
    python.chmod(0o755)
    (result,) = run_deep(str(python), (), names=("loader_workers",))
    found = findings(result)
    assert [code] == list(found)
    assert "shared memory" in found[code].detail or "Bus error" in found[code].detail


def test_checkpointing_leaves_the_gradients(patient, findings):
    """Checkpointing changes no gradient of the adapter."""
    (result,) = run_deep(str(patient), (), names=("lora_variants",))
    assert {"tensors": 8, "without_gradient": 0, "relative_error": 0.0} == result.data["cases"][
        "checkpointing"
    ]
    assert {} == findings(result)


def test_layers_compute_with_their_own_weights(patient, findings):
    """On the CPU too, each kind of layer computes what its dequantised weights say, forward and backward."""
    (result,) = run_probes(str(patient), ("bitsandbytes_runs",))
    seen = {**result.data["cases"], **result.data["variants"]}
    assert 6 == len(seen)
    keys = ("output_to_own", "gradient_to_own", "row_to_own")
    assert [] == [name for name, errors in seen.items() if any(errors[key] > 5e-3 for key in keys)]
    assert 0.999 < result.data["optimizer"]["cosine"]
    assert {} == findings(result)


def test_two_steps_look_at_gradients_and_the_frozen(patient, findings):
    """The two steps tell of every LoRA B, of the base's tensors and of the file."""
    (result,) = run_probes(str(patient), ("lora_two_steps",))
    data = result.data
    assert ([], [], 4, 8) == (
        data["without_gradient"],
        data["frozen_changed"],
        data["targets"],
        data["saved_tensors"],
    )
    assert {} == findings(result)
