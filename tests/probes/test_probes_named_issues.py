"""The three named issues, each seen to fail on a real affected release and to pass on a real mended one."""

import pytest

pytestmark = pytest.mark.slow

OLD_TRANSFORMERS = ("transformers-4.28.1", "protobuf-3.20.3")


def codes(found):
    return sorted(found)


def test_fast_llama_tokenizer_fails_on_4_28(probed, findings):
    """transformers 4.28.1 ignores add_eos_token (1b) and splits a literal </s> (1c); both are the library's."""
    result = probed("llama_tokenizer", *OLD_TRANSFORMERS)
    assert ("ran", "4.28.1") == (result.status, result.data["versions"]["transformers"])
    found = findings(result)
    assert ["TOK002", "TOK003"] == codes(found)
    assert {("error", "library")} == {(f.severity.value, f.kind.value) for f in found.values()}


def test_llama_tokenizer_needs_old_protobuf_on_4_28(probed, findings):
    """transformers 4.28.1 cannot convert a tokenizer.model with a protobuf of today (1d); the remedy names 3.20.3."""
    result = probed("llama_tokenizer", "transformers-4.28.1")
    found = findings(result)
    assert ["TOK004"] == codes(found)
    assert "Descriptors cannot be created directly" in found["TOK004"].evidence[0]
    assert found["TOK004"].fix.commands[0].endswith("-m pip install protobuf==3.20.3")


def test_llama_tokenizer_passes_on_4_31(probed, findings):
    """transformers 4.31.0 has none of the tokenizer's library faults, with the same tokenizers and protobuf."""
    result = probed("llama_tokenizer", "transformers-4.31.0", "protobuf-3.20.3")
    assert ("ran", "4.31.0") == (result.status, result.data["versions"]["transformers"])
    assert [] == codes(findings(result))


@pytest.mark.parametrize("release", ["4.28.1", "4.31.0"])
def test_old_conversion_is_no_fault_of_the_library(probed, findings, release):
    """Empty special tokens in a checkpoint (1a) are wrong with every release, and blamed on none."""
    result = probed("llama_tokenizer", f"transformers-{release}", "protobuf-3.20.3")
    data = result.data["data_cases"]
    assert {"bos": 0, "eos": 0, "unk": 0} == data["old_slow"]["ids"]
    assert "Tokenizer class LLaMATokenizer does not exist" in data["old_auto"]["error"]
    assert not any("LLaMATokenizer" in str(check.to_json()) for check in findings(result).values())


def test_silent_add_bos_token_is_seen(probed):
    """A folder silent about add_bos_token keeps its <s> on 4.31; whatever the newest does (1e) is kept apart."""
    old = probed("llama_tokenizer", "transformers-4.31.0", "protobuf-3.20.3").data["cases"]["defaults"]
    assert 1 == old["encoded"][0]


def test_adapter_save_fails_on_0_3(probed, findings):
    """peft 0.3.0 empties adapters of a patched state_dict (2a) and loads none from named_parameters() (2b)."""
    result = probed("adapter_save", "peft-0.3.0", *OLD_TRANSFORMERS)
    assert "0.3.0" == result.data["versions"]["peft"]
    assert 0 == result.data["cases"]["state_dict_override"]["tensors"]
    assert 8 == result.data["cases"]["modified_trainer"]["tensors"]
    found = findings(result)
    assert ["PFT051", "PFT052"] == codes(found)
    assert {("warning", "script")} == {(f.severity.value, f.kind.value) for f in found.values()}


@pytest.mark.parametrize("overlays", [("peft-0.2.0", *OLD_TRANSFORMERS), ("peft-0.21.2",)])
def test_adapter_save_passes_before_and_after(probed, findings, overlays):
    """peft 0.2.0, before the fault, and 0.21.2, after it, bring back every adapter."""
    result = probed("adapter_save", *overlays)
    assert overlays[0] == "peft-" + result.data["versions"]["peft"]
    assert [] == codes(findings(result))


def test_is_trainable_default_is_seen(probed):
    """What from_pretrained leaves trainable (2e) changed from all to none with peft 0.3, and is recorded."""
    seen = {
        name: probed("adapter_save", name, *OLD_TRANSFORMERS).data["cases"]["trainable_by_default"]
        for name in ("peft-0.2.0", "peft-0.3.0")
    }
    assert {"peft-0.2.0": {"trainable_tensors": 8}, "peft-0.3.0": {"trainable_tensors": 0}} == seen


def test_fan_in_fan_out_fails_on_0_2(probed, findings):
    """peft 0.2.0 freezes the middle third of a single target, and loses GPT-2's adapter."""
    result = probed("fan_in_fan_out", "peft-0.2.0", *OLD_TRANSFORMERS)
    assert [True, False, True] == result.data["cases"]["fused_linear"]["thirds_moved"]
    found = findings(result)
    assert ["PFT054", "PFT055", "PFT056"] == codes(found)
    assert "error" == found["PFT054"].severity.value
    assert found["PFT054"].needs_new_environment


def test_fan_in_fan_out_passes_on_0_3(probed, findings):
    """peft 0.3.0 has mended training and loading; it only refuses to merge GPT-2's Conv1D, which is a warning."""
    found = findings(probed("fan_in_fan_out", "peft-0.3.0", *OLD_TRANSFORMERS))
    assert ["PFT056"] == codes(found)
    assert "warning" == found["PFT056"].severity.value


def test_fan_in_fan_out_passes_on_0_21(probed, findings):
    """peft 0.21.2 trains, loads and merges single targets and Conv1D."""
    assert [] == codes(findings(probed("fan_in_fan_out", "peft-0.21.2")))


def test_versions_that_do_not_fit_are_named(probed, findings):
    """peft 0.3.0 beside a transformers of today: the imports say which library, and the training is not blamed."""
    results = [probed(name, "peft-0.3.0") for name in ("library_imports", "lora_two_steps")]
    found = findings(*results)
    assert ["TRF050"] == codes(found)
    modules = results[0].data["modules"]
    assert {"accelerate", "peft", "transformers"} == {name for name in modules if "error" in modules[name]}


def test_healthy_environment_has_no_finding(patient, findings):
    """On the newest environment every probe runs, and no rule finds anything."""
    from envdoc.doctor.probes.runner import DEFAULT_PROBES, run_probes

    results = run_probes(str(patient))
    assert [(name, "ran") for name in DEFAULT_PROBES] == [(result.name, result.status) for result in results]
    assert [] == codes(findings(*results))
