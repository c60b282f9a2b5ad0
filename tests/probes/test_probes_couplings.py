"""Rows of the couplings and floors in code against what really happens: old releases laid over a real environment."""

import os
import subprocess

import pytest
from conftest import install

from envdoc.doctor.facts.collect import collect
from envdoc.doctor.finding import Target
from envdoc.doctor.rules.registry import judge

LORA = """
from transformers import LlamaConfig, LlamaForCausalLM
from peft import LoraConfig, get_peft_model
sizes = dict(hidden_size=16, intermediate_size=16, num_attention_heads=2, num_key_value_heads=2, vocab_size=32)
get_peft_model(LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, **sizes)), LoraConfig(target_modules=["q_proj"]))
"""


def stub(folder, name, version):
    """A package of that name and version without code, which is all that a check of versions looks at."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n")
    return folder


def findings(python, path, monkeypatch):
    """Code and evidence of what envdoc finds wrong there, from files alone."""
    monkeypatch.setenv("PYTHONPATH", str(path))
    snapshot = collect(Target(str(python), "test"))
    return {check.code: check for check in judge(snapshot) if check.failed}


def said(python, path, code):
    """What Python prints for that code with the folder laid over the environment."""
    environ = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [str(python), "-c", code], env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize(
    ("overlay", "program", "code"),
    [
        ("accelerate-0.30.1", "import peft", "PFT002"),
        ("trl-0.7.11", "import trl; trl.SFTTrainer", "TRF011"),
        ("trl-0.22.2", "from trl import DPOTrainer", "TRF011"),
    ],
)
def test_row_tells_what_is_printed(overlay, program, code, patient, monkeypatch):
    """The program fails with the row's own symptom."""
    folder = install(patient, overlay)
    check = findings(patient, folder, monkeypatch)[code]
    symptom = check.evidence[0].partition(": ")[2]
    assert symptom in said(patient, folder, program)


@pytest.mark.parametrize(("name", "version"), [("torchao", "0.14.1"), ("gptqmodel", "2.0.0")])
def test_peft_refuses_what_it_does_not_use(name, version, patient, tmp_path, monkeypatch):
    """A plain LoRA fails because of a quantiser that is installed and too old."""
    folder = stub(tmp_path, name, version)
    check = findings(patient, folder, monkeypatch)["PFT010"]
    assert "error" == check.severity.value
    assert f"Found an incompatible version of {name}" in said(patient, folder, LORA)
