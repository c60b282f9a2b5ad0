"""A shared library that a full disk cut short ends no more than the import that reads it."""

import pytest
from box import Clone

from envdoc.doctor.probes.runner import run_probes


@pytest.mark.slow
def test_a_library_cut_short_kills_no_more_than_its_import(patient, tmp_path):
    """A truncated .so ends the process that imports it by SIGBUS or SIGSEGV, or is an ImportError; the rest is seen."""
    clone = Clone(patient, tmp_path / "clone")
    library = clone.file("tokenizers/*.so")
    clone.cut(library, 2_000_000)
    names = ("library_imports", "torch_runs", "llama_tokenizer")
    results = {result.name: result for result in run_probes(str(clone.python), names)}
    modules = results["library_imports"].data["modules"]
    assert "SIGBUS" == modules["tokenizers"]["error"]
    assert None is modules["safetensors"].get("error")
    assert None is modules["bitsandbytes"].get("error")
    assert ["ran", "signal"] == [results[name].status for name in names[1:]]
    assert results["llama_tokenizer"].error.startswith("SIGBUS while importing transformers")
