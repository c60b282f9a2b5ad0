"""The rules over probe results: what was recorded on real environments, and one thing changed in it at a time."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest

from envdoc.doctor.facts.snapshot import Gpu, Package, ProbeResult, TorchBuild, from_json

RECORDED = Path(__file__).parent / "recorded"


def recorded(name):
    return from_json((RECORDED / (name + ".json")).read_text()).probes


@pytest.fixture
def healthy():
    """The seven results of a CPU environment with the newest releases, 2026-11-24."""
    return {result.name: result for result in recorded("cpu-py311")}


@pytest.fixture
def with_gpu():
    """The seven results of an NVIDIA H200 with torch 2.11.0+cu130, 2026-11-24."""
    return {result.name: result for result in recorded("h200-torch211-cu130")}


def changed(result, **values):
    """The result with other top-level values in its data."""
    return dataclasses.replace(result, data={**copy.deepcopy(result.data), **values})


def with_products(result, **products):
    """The result of torch_runs with other products on its GPU, by type."""
    gpu = copy.deepcopy(result.data["gpus"][0])
    gpu["products"].update(products)
    return changed(result, gpus=[gpu])


def with_case(result, name, seen):
    """The result with another observation of one case."""
    return changed(result, cases={**result.data["cases"], name: seen})


def test_recorded_healthy_environment_has_no_finding(healthy, findings):
    """The newest environment has no finding at all, with a GPU or without."""
    assert {} == findings(*healthy.values())


def test_good_gpu_has_no_finding(with_gpu, findings):
    """Nor has a machine with an H200 that the driver lists."""
    assert {} == findings(*with_gpu.values(), gpus=(Gpu(0, "NVIDIA H200", "9.0"),))


def test_seeds_own_stack_is_not_broken(findings):
    """Python 3.8 with peft 0.13.2 has warnings about scripts and protobuf, and no error: its LoRA works."""
    found = findings(*recorded("py38-torch20-cu117-without-gpu"))
    expected = {"BNB053": "info", "PFT051": "warning", "PFT052": "warning", "TOK004": "warning"}
    assert expected == {code: check.severity.value for code, check in found.items()}
    assert "pip install protobuf" in found["TOK004"].fix.commands[0]
    assert "Your script must not" in found["PFT051"].detail


def test_titles_and_details_are_filled(findings):
    """Titles stay under 80 characters, name both sides, and no placeholder is left."""
    for check in findings(*recorded("py38-torch20-cu117-without-gpu")).values():
        assert 80 > len(check.title)
        assert "{error" not in check.detail + check.title


def test_unknown_snapshot_is_skipped(findings):
    """Without any probe nothing is found, and nothing crashes."""
    assert {} == findings()


def test_wrong_product_on_a_gpu(with_gpu, findings):
    """A GPU that multiplies wrongly is a fault of the host, whichever type shows it; None was NaN."""
    for error in (0.3, None):
        found = findings(with_products(with_gpu["torch_runs"], bfloat16={"relative_error": error}))
        assert ["TOR051"] == list(found)
        assert "GPU 0 (NVIDIA H200) multiplies wrongly in bfloat16" == found["TOR051"].title
        assert "host" == found["TOR051"].kind.value


def test_every_precision_is_judged(with_gpu, findings):
    """A wrong product in any precision is found by its own limit; one that is not there is none."""
    good = {"tf32": 4e-4, "float64": 1e-15, "int8": 0.0, "float8_e4m3fn": 3e-3, "of_a_newer_envdoc": 1.0}
    seen = {name: {"relative_error": error} for name, error in good.items()}
    seen["float8_e4m3fn"] = {"skipped": "float8 needs compute capability 8.9"}
    assert {} == findings(with_products(with_gpu["torch_runs"], **seen))
    for name, error in (("tf32", 0.1), ("float64", 1e-7), ("int8", 1e-5), ("float8_e4m3fn", None)):
        wrong = with_products(with_gpu["torch_runs"], **{**seen, name: {"relative_error": error}})
        assert ["TOR051"] == list(findings(wrong))


def test_gpu_without_kernels(with_gpu, findings):
    """A GPU that cannot multiply in float32 is one error; where only a half type fails, that is told."""
    line = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    assert ["TOR055"] == list(findings(with_products(with_gpu["torch_runs"], bfloat16={"error": line})))
    found = findings(with_products(with_gpu["torch_runs"], float32={"error": line}, bfloat16={"error": line}))
    assert ["TOR052"] == list(found)
    assert (line,) == found["TOR052"].evidence


def test_numpy_of_another_abi(healthy, findings):
    """torch that imports and cannot make an array is an error; without numpy there is nothing to judge."""
    error = {"error": "RuntimeError: Numpy is not available"}
    broken = changed(healthy["torch_runs"], numpy_bridge=error)
    assert ["TOR053"] == list(findings(broken))
    absent = {**healthy["torch_runs"].data["versions"], "numpy": None}
    assert {} == findings(changed(broken, versions=absent))


def test_gpu_that_torch_does_not_see(with_gpu, findings):
    """A listed GPU that torch does not see is an error, except for a build without CUDA, which others judge."""
    blind = {"cuda_available": False, "gpus": [], "cuda_error": "RuntimeError: No CUDA GPUs are available"}
    gpus = (Gpu(0, "NVIDIA H200", "9.0"),)
    found = findings(changed(with_gpu["torch_runs"], **blind), gpus=gpus)
    assert ["TOR054"] == list(found)
    assert "No CUDA GPUs are available" in found["TOR054"].detail
    assert {} == findings(changed(with_gpu["torch_runs"], **blind, cuda=None), gpus=gpus)
    assert {} == findings(changed(with_gpu["torch_runs"], **blind))


def test_torch_that_died(findings):
    """The version in the title comes from torch's files, since it could not say it itself."""
    died = ProbeResult("torch_runs", "signal", error="SIGILL while importing torch")
    found = findings(died, torch=TorchBuild("2.13.0+cu130", "13.0"))
    assert "torch 2.13.0+cu130 does not run in this environment" == found["TOR050"].title


def test_transformers_without_torch(healthy, findings):
    """transformers that imports and disables torch is an error."""
    modules = copy.deepcopy(healthy["library_imports"].data["modules"])
    modules["transformers"]["torch_available"] = False
    found = findings(healthy["torch_runs"], changed(healthy["library_imports"], modules=modules))
    assert ["TRF051"] == list(found)


def test_training_that_fails(healthy, findings):
    """Libraries that import and do not train together are an error with the line of the failure."""
    error = "TypeError: Accelerator.__init__() got an unexpected keyword argument 'dispatch_batches'"
    failed = ProbeResult("lora_two_steps", "crashed", error=error)
    found = findings(healthy["library_imports"], failed)
    assert ["TRF052"] == list(found)
    assert error in found["TRF052"].detail


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"losses": [0.0, 0.0]}, "the losses were [0.0, 0.0]"),
        ({"losses": [4.8, None]}, "the losses were [4.8, None]"),
        ({"losses": []}, "the losses were []"),
        ({"trained_is_base": True}, "answers as its base does"),
        ({"reload_is_trained": False}, "that was loaded again"),
        ({"without_gradient": ["q_proj.lora_B"]}, "no gradient reaches q_proj.lora_B"),
        ({"frozen_changed": ["lm_head.weight"]}, "training changed the frozen lm_head.weight"),
        ({"targets": 4, "saved_tensors": 4}, "holds 4 tensors of 8"),
    ],
)
def test_training_without_effect(healthy, findings, values, words):
    """A run that ends well and has a loss of nothing, learns nothing or loses what it learnt is an error."""
    found = findings(changed(healthy["lora_two_steps"], **values))
    assert ["TRF053"] == list(found)
    assert words in found["TRF053"].detail


def test_probe_that_ended_badly_is_told_once(healthy, findings):
    """A probe that dies is a warning of its own, unless a library that it needs cannot be imported."""
    died = ProbeResult("adapter_save", "signal", error="SIGSEGV while plain save")
    assert ["TRF054"] == list(findings(healthy["library_imports"], died))
    modules = copy.deepcopy(healthy["library_imports"].data["modules"])
    modules["peft"] = {
        "version": "0.18.0",
        "error": "ImportError: cannot import name 'Cache' from 'transformers'",
    }
    imports = changed(healthy["library_imports"], modules=modules)
    assert ["TRF050"] == list(findings(imports, died))


def test_quantised_layers_that_fail_on_a_gpu(with_gpu, findings):
    """bitsandbytes that fails beside a GPU is an error that names both."""
    layers = with_case(
        with_gpu["bitsandbytes_runs"], "linear_4bit", {"error": "RuntimeError: no kernel image"}
    )
    found = findings(layers)
    assert ["BNB050"] == list(found)
    assert "bitsandbytes 0.50.2 cannot run 4-bit layers on NVIDIA H200" == found["BNB050"].title


def test_bitsandbytes_that_died(healthy, findings):
    """A process that bitsandbytes takes along is an error, with the version from the installed packages."""
    died = ProbeResult("bitsandbytes_runs", "signal", error="SIGSEGV while importing bitsandbytes")
    found = findings(healthy["library_imports"], died, packages=(Package("bitsandbytes", "0.41.3"),))
    assert "bitsandbytes 0.41.3 cannot run its layers" == found["BNB050"].title


@pytest.mark.parametrize(("key", "word"), [("output_error", "outputs"), ("gradient_error", "gradients")])
def test_quantised_layers_that_are_wrong(with_gpu, findings, key, word):
    """A layer that is further from the dense one than quantising explains is an error."""
    good = with_gpu["bitsandbytes_runs"].data["cases"]["linear_8bit"]
    found = findings(with_case(with_gpu["bitsandbytes_runs"], "linear_8bit", {**good, key: 0.9}))
    assert ["BNB051"] == list(found)
    assert f"bitsandbytes 0.50.2: 8-bit {word} are wrong" == found["BNB051"].title


@pytest.mark.parametrize("libraries", [["libbitsandbytes_cpu.so"], []])
def test_cpu_library_beside_a_gpu(with_gpu, findings, libraries):
    """bitsandbytes that loaded its CPU library, or none, where torch sees a GPU is an error."""
    found = findings(changed(with_gpu["bitsandbytes_runs"], libraries=libraries))
    assert ["BNB052"] == list(found)


@pytest.mark.parametrize(
    ("case", "code", "values"),
    [
        ("slow", "TOK001", {"ids": {"bos": 0, "eos": 0, "unk": 0}}),
        ("slow", "TOK001", {"with_eos": [276, 311, 2]}),
        ("fast_reload", "TOK005", {"after": [1, 391, 275, 311, 2]}),
    ],
)
def test_special_tokens(healthy, findings, case, code, values):
    """Other ids, a missing <s>, or other ids after loading are each found by their own rule."""
    seen = {**healthy["llama_tokenizer"].data["cases"][case], **values}
    assert [code] == list(findings(with_case(healthy["llama_tokenizer"], case, seen)))


LOST = {"tensors": 8, "reload_is_trained": False, "reload_is_base": True}


@pytest.mark.parametrize("seen", [LOST, {**LOST, "tensors": 0}, {"error": "OSError: disk full"}])
def test_plain_save_that_loses_the_adapter(healthy, findings, seen):
    """Where the ordinary way of saving loses the adapter, it is an error of the library."""
    found = findings(with_case(healthy["adapter_save"], "plain_save", seen))
    assert [("PFT050", "error")] == [(code, check.severity.value) for code, check in found.items()]


def test_resume_that_starts_from_nothing(healthy, findings):
    """An adapter that set_peft_model_state_dict does not bring back is an error."""
    seen = {"resume_is_trained": False, "resume_is_base": True}
    assert ["PFT053"] == list(findings(with_case(healthy["adapter_save"], "resume", seen)))


def test_recorded_snapshots_are_plain_json():
    """What is recorded is what a snapshot file holds: no NaN, nothing that only Python reads."""
    for path in RECORDED.glob("*.json"):
        assert from_json(path.read_text()).to_json() == path.read_text()
        json.loads(path.read_text(), parse_constant=pytest.fail)
