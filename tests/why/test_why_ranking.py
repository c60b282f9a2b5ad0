"""`envdoc why`: the cause that a log shows comes first, facts weigh, and nothing is made up."""

import json
import sys
import time
from pathlib import Path

import pytest

from envdoc.doctor.advisories import advisories
from envdoc.doctor.why import document, why, why_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES = tomllib.loads(Path(__file__).with_name("examples.toml").read_text(encoding="utf-8"))["example"]
RUNS = tomllib.loads(Path(__file__).with_name("classes.toml").read_text(encoding="utf-8"))["run"]
OVERRIDE = "TypeError: TrainingArguments.__init__() got an unexpected keyword argument 'evaluation_strategy'"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["code"])
def test_example_is_explained(example):
    """The class of each example comes first, its advisory among the causes, with a line and something to do."""
    causes = why(example["log"], example.get("facts"))
    assert example["code"] in [cause.code for cause in causes]
    assert {one.id: one.cause_class for one in advisories()}[example["code"]] == causes[0].cause_class
    assert all(causes[0].evidence)
    assert all(causes[0].remedy)
    assert 0 < causes[0].confidence <= 1


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["cause_class"])
def test_class_comes_first(run):
    """The class of each run comes first."""
    assert run["cause_class"] == why(run["log"], run.get("facts"))[0].cause_class


def test_every_class_has_an_example():
    """No example of an advisory that is gone; every class of the advisories but a few has a run that it explains."""
    explained = {example["code"] for example in EXAMPLES}
    known = {advisory.id: advisory.cause_class for advisory in advisories()}
    assert set() == explained - set(known)
    without = set(known.values()) - {known[code] for code in explained} - {run["cause_class"] for run in RUNS}
    assert 10 >= len(without), sorted(without)


@pytest.mark.parametrize(
    "log",
    ["", "\n\n", "all is well", "Traceback (most recent call last):\nKeyError: 'x'", "\x00\ufffd\x1b[31m"],
)
def test_nothing_fits(log):
    """A log without a known symptom has no cause, whatever the facts."""
    assert () == why(log)
    assert () == why(log, {"packages": {"peft": "0.2.0", "transformers": "4.28.1"}, "torch": "2.0.1+cpu"})


def test_facts_raise_and_lower_the_confidence():
    """Versions that the advisory names raise the confidence, others lower it, none leave it."""
    told = [
        why(OVERRIDE, facts)[0].confidence
        for facts in (
            {"packages": {"transformers": "4.57.1"}},
            None,
            {"packages": {"transformers": "4.40.0"}},
        )
    ]
    assert sorted(told, reverse=True) == told
    assert 3 == len(set(told))


def test_facts_decide_between_two_causes():
    """Where two causes show in one log, the one that the facts speak for comes first."""
    log = (
        "CUDA driver version is insufficient for CUDA runtime version\n"
        "no kernel image is available for execution on the device"
    )
    old_driver = {"torch": "2.13.0+cu130", "driver_cuda": "12.2", "compute_capability": "9.0"}
    new_gpu = {"torch": "2.0.1+cu117", "driver_cuda": "13.0", "compute_capability": "12.0"}
    assert "driver-too-old" == why(log, old_driver)[0].cause_class
    assert "torch-arch-mismatch" == why(log, new_gpu)[0].cause_class


def test_data_fault_is_not_answered_with_an_upgrade_of_the_library_alone():
    """An old conversion stays wrong with every release: the remedy is about its files."""
    (cause,) = why('"bos_token": "", "eos_token": ""')
    assert "tokenizer_config.json" in cause.remedy[0]


def test_colours_wraps_and_case_do_not_hide_a_line():
    """A terminal's colours and line breaks are seen through."""
    log = "\x1b[31mValueError\x1b[0m: Attempting to\n      unscale FP16 gradients."
    assert "fp16-unscale" == why(log)[0].cause_class


def test_evidence_is_the_last_line_that_shows_it():
    """Of many matches the last is shown, cut where it is long."""
    log = (
        "OSError: [Errno 28] No space left on device: 'a'\n" * 3
        + "x" * 500
        + "OSError: [Errno 28] No space left on device: 'b'"
    )
    (cause,) = why(log)
    assert ("[Errno 28] No space left on device",) == cause.evidence


def test_a_long_log_is_read_quickly():
    """Twenty megabytes are answered within seconds, from the end."""
    log = (
        "{'loss': 1.0, 'epoch': 0.1} lora_A (<0x3C> unable to shared /dev/shm transformers\n" * 250_000
    ) + OVERRIDE
    started = time.process_time()
    assert "evaluation-strategy-removed" == why(log)[0].code
    assert 20 > time.process_time() - started


@pytest.mark.parametrize("facts", [None, {}, [], "text", 3, {"code": 3}, {"packages": None}])
def test_facts_of_any_shape(facts):
    """Facts of a wrong shape are passed over."""
    assert "fp16-unscale" == why("Attempting to unscale FP16 gradients", facts)[0].code


def test_document_and_text():
    """The JSON has the keys of the contract; the text names title, evidence and remedy; both say when nothing fits."""
    found = document("ValueError: Attempting to unscale FP16 gradients.")
    assert found == json.loads(json.dumps(found))
    assert 1 == found["schema_version"]
    keys = ["code", "cause_class", "title", "confidence", "evidence", "remedy", "links"]
    assert keys == list(found["causes"][0])[: len(keys)]
    text = why_text(found)
    assert "1. The trained parameters are float16 under mixed precision (79%, fp16-unscale)" in text
    assert "seen: ValueError: Attempting to unscale FP16 gradients." in text
    assert [] == document("")["causes"]
    assert "No known cause fits this log." in why_text(document(""))
