"""Folders on the command line: `verify` of any adapter without torch, `check --model DIR`, `fix --model DIR`."""

import hashlib
import json
import struct

import pytest

A, B = (f"base_model.model.model.layers.0.self_attn.q_proj.lora_{letter}.weight" for letter in "AB")
CONFIG = {
    "peft_type": "LORA",
    "r": 1,
    "lora_alpha": 2,
    "target_modules": ["q_proj"],
    "base_model_name_or_path": "org/b",
}


def adapter(path, a=A, b=B, values=(1.0, 2.0)):
    """An adapter of rank 1 on one layer of width 2."""
    path.mkdir()
    header = {
        a: {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
        b: {"dtype": "F32", "shape": [2, 1], "data_offsets": [8, 16]},
    }
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + struct.pack("<4f", 1.0, 1.0, *values)
    (path / "adapter_model.safetensors").write_bytes(data)
    (path / "adapter_config.json").write_text(json.dumps(CONFIG))
    return path


def document(done):
    """The JSON that the command printed."""
    return json.loads(done.stdout)


@pytest.fixture
def bare(interpreter):
    """An interpreter that has neither torch nor peft."""
    return interpreter("3.13")


def test_verify_needs_no_torch(envdoc, bare, tmp_path):
    """0 for a real adapter, 1 for one that is not, with its check; JSON says the same."""
    real, named = adapter(tmp_path / "real"), adapter(tmp_path / "named", A.replace("A.", "A.default."))
    still = adapter(tmp_path / "still", values=(0.0, -0.0))
    done = {path.name: envdoc("verify", path, "--python", bare) for path in (real, named, still)}
    assert {"real": 0, "named": 1, "still": 1} == {name: one.returncode for name, one in done.items()}
    assert "`.default.`" in done["named"].stdout and "--rescue" in done["named"].stderr
    assert "FAIL lora_B: 0 of 1" in done["still"].stdout
    told = document(envdoc("verify", still, "--format", "json", "--python", bare))
    assert (False, ["lora_B"]) == (told["real"], [c["name"] for c in told["checks"] if c["level"] == "error"])
    assert "not real" == told["files"][0]["verdict"]


def test_verify_without_torch_reads_the_receipt(envdoc, bare, tmp_path):
    """A run's folder means its adapter, an unfinished one its newest checkpoint; the hash beside the file counts."""
    run = tmp_path / "run"
    run.mkdir()
    done, early, late = (adapter(run / name) for name in ("adapter", "checkpoint-9", "checkpoint-10"))
    sha256 = hashlib.sha256((done / "adapter_model.safetensors").read_bytes()).hexdigest()
    (done / "envdoc-receipt.json").write_text(json.dumps({"adapter": {"file_sha256": sha256}}))
    for path in (early, late):
        listed = {"files": {"adapter_model.safetensors": sha256 if path == early else "0" * 64}}
        (path / "complete.json").write_text(json.dumps(listed))

    real = document(envdoc("verify", run, "--format", "json", "--python", bare))
    done.rename(tmp_path / "elsewhere")
    other = envdoc("verify", run, "--format", "json", "--python", bare)

    assert (str(done), True) == (real["adapter"], real["real"])
    assert [True] == [check["ok"] for check in real["checks"] if check["name"] == "receipt"]
    told = document(other)
    assert (1, str(late)) == (other.returncode, told["adapter"])
    assert ["receipt"] == [check["name"] for check in told["checks"] if check["ok"] is False]
    assert ["not real"] == [file["verdict"] for file in told["files"]]


def test_verify_two_folders(envdoc, tmp_path):
    """0 where both are the same, 1 where they differ, with the layer and the largest difference."""
    one, same = adapter(tmp_path / "one"), adapter(tmp_path / "same")
    other = adapter(tmp_path / "other", values=(1.0, 2.5))
    assert 0 == envdoc("verify", one, same).returncode
    done = envdoc("verify", one, other, "--format", "json")
    assert 1 == done.returncode
    assert [{"layer": "model.layers.0.self_attn.q_proj", "tensors": 1, "largest": 0.5}] == document(done)[
        "layers"
    ]


def test_verify_rescue(envdoc, tmp_path):
    """The rescued folder is real, and a second rescue writes over nothing."""
    named = adapter(tmp_path / "named", A.replace("A.", "A.default."), B.replace("B.", "B.default."))
    done = envdoc("verify", named, "--rescue", "out")
    assert (0, "") == (done.returncode, done.stderr)
    assert "2 names mended" in done.stdout
    again = envdoc("verify", named, "--rescue", "out")
    assert (2, "") == (again.returncode, again.stdout)
    assert "nothing is ever written over" in again.stderr


def test_verify_of_no_adapter(envdoc, tmp_path):
    """A folder without anything of an adapter is misuse."""
    done = envdoc("verify", tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert "holds no adapter" in done.stderr


@pytest.fixture
def old(tmp_path):
    """An old conversion with a tokenizer.model of four pieces, written by hand."""
    folder = tmp_path / "llama"
    folder.mkdir()
    pieces = ((b"<unk>", 2), (b"<s>", 3), (b"</s>", 3), (b"a", 1))
    inner = (b"\x0a" + bytes([len(text)]) + text + b"\x18" + bytes([kind]) for text, kind in pieces)
    (folder / "tokenizer.model").write_bytes(b"".join(b"\x0a" + bytes([len(one)]) + one for one in inner))
    empty = {"bos_token": "", "eos_token": "", "unk_token": "", "tokenizer_class": "LLaMATokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(empty, indent=2))
    ids = {"model_type": "llama", "bos_token_id": 0, "eos_token_id": 1, "vocab_size": 4}
    (folder / "config.json").write_text(json.dumps(ids))
    return folder


def found(envdoc, folder, bare):
    """The codes of the model's folder that `check --model` fails."""
    done = envdoc(
        "check", "--quick", "--model", folder, "--select", "TOK02,TRF02", "--python", bare, "--format", "json"
    )
    return sorted(check["code"] for check in document(done)["checks"] if check["status"] == "fail")


def test_an_old_conversion_from_check_to_fix_and_back(envdoc, bare, old):
    """check names it, fix shows a diff, --apply asks or wants --yes, check is clean, --undo brings it back."""
    wrong = ["TOK020", "TOK021", "TOK022"]
    assert wrong == found(envdoc, old, bare)
    shown = envdoc("fix", "--model", old, "--diff")
    assert (0, True) == (shown.returncode, shown.stdout.startswith("--- a/tokenizer_config.json\n"))
    assert wrong == found(envdoc, old, bare)
    asked = envdoc("fix", "--model", old, "--apply", stdin=-3)
    assert (2, True) == (asked.returncode, "--yes" in asked.stderr)
    done = envdoc("fix", "--model", old, "--apply", "--yes")
    assert (0, True) == (done.returncode, "--undo" in done.stderr)
    assert [] == found(envdoc, old, bare)
    assert 0 == envdoc("fix", "--model", old, "--undo").returncode
    assert wrong == found(envdoc, old, bare)


def test_fix_of_no_model(envdoc, tmp_path):
    """A folder that is not there, and options without one, are misuse."""
    assert 2 == envdoc("fix", "--model", tmp_path / "gone").returncode
    assert 2 == envdoc("fix", "--undo").returncode
