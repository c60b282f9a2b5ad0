"""A whole run from rows to a proved adapter, what it leaves, and what verify says of adapters that are not real."""

import fcntl
import json
import os
import re
import shutil

import pytest
from train_children import losses, receipt

TAMPER = """
import json, shutil, sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file

source = Path("runs/default/adapter")
def copy(name, change=None):
    folder = Path("tampered") / name
    shutil.copytree(source, folder)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(str(file))
    if change is not None:
        save_file(change(tensors), str(file))
    return folder

def but(tensors, part, value):
    name = next(n for n in sorted(tensors) if part in n)
    return {**tensors, name: value(tensors[name])}

copy("zero", lambda t: {n: v * 0 if "lora_B" in n else v for n, v in t.items()})
copy("one-zero", lambda t: but(t, "lora_B", torch.zeros_like))
copy("nan", lambda t: but(t, "lora_A", lambda v: torch.full_like(v, float("nan"))))
copy("removed", lambda t: {n: t[n] for n in sorted(t)[1:]})
copy("empty", lambda t: {})
copy("renamed", lambda t: {n.replace(".weight", ".default.weight"): v for n, v in t.items()})
copy("reshaped", lambda t: but(t, "lora_A", lambda v: v[:-1].clone()))
copy("changed", lambda t: but(t, "lora_A", lambda v: v + 1e-3))
folder = copy("stale")
torch.save({}, folder / "adapter_model.bin")
folder = copy("torn")
file = folder / "adapter_model.safetensors"
file.write_bytes(file.read_bytes()[:1000])
folder = copy("gone")
(folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
folder = copy("foreign")
(folder / "envdoc-receipt.json").unlink()
print(json.dumps(sorted(p.name for p in Path("tampered").iterdir())))
"""

# What must fail for each of them, and nothing else may.
FAILING = {
    "zero": {"lora_B", "hash", "file hash", "trained model", "output"},
    "one-zero": {"lora_B", "hash", "file hash", "trained model"},
    "nan": {"finite", "hash", "file hash", "trained model", "output"},
    "removed": {"names", "hash", "file hash"},
    "empty": {"names", "lora_B", "hash", "file hash"},
    "renamed": {"keys", "names", "hash", "file hash"},
    "reshaped": {"shapes", "hash", "file hash"},
    "changed": {"hash", "file hash"},
    "stale": {"old file"},
    "torn": {"file"},
    "gone": {"file"},
    "foreign": set(),
}


def test_the_default_run_ends_with_a_proved_adapter(finished):
    """No argument: the built-in example, said so; the loss falls; the last lines tell proof and place."""
    lines = (finished / "stdout").read_text().splitlines()

    assert "Run       runs/default, from the built-in example (no run file was given" in lines[0]
    place = lines.index("Adapter: runs/default/adapter (with its receipt, envdoc-receipt.json)")
    assert "Report: runs/default/report.html; loss curve: runs/default/loss.png" == lines[place - 2]
    assert lines[place - 1].startswith(
        "Proved: read back from disk, the adapter equals the weights in memory"
    )
    assert lines[place - 1].endswith(
        "a fresh process that loads base and adapter gets the trained model's output."
    )
    assert "envdoc verify runs/default/adapter    # prove it again, here or elsewhere" == lines[-1].strip()
    assert [] == [line for line in lines if line.startswith("FAIL")]
    pairs = losses(finished / "runs/default")
    assert list(range(1, 13)) == [step for step, _ in pairs]
    assert pairs[-1][1] < pairs[0][1] - 0.1


def test_progress_is_plain_lines_without_a_terminal(finished):
    """Not a TTY: a line every `log_every` steps on stderr, no carriage return, no notice of a library."""
    text = (finished / "stderr").read_text()

    steps = [line.split()[1] for line in text.splitlines() if line.startswith("step ")]
    assert ["1/12", "10/12", "12/12"] == steps
    assert "\r" not in text
    assert {"step", "Loading"} == {line.split()[0] for line in text.splitlines()}


def test_the_receipt_tells_what_the_adapter_is(finished):
    """Run, environment, lockfile, data, base, adapter, measurements and proof, all of this very run."""
    told = receipt(finished / "runs/default")

    assert ({"profile": "cpu", "sha256": "ab" * 32}, "9.9", {"taken_at": "then"}) == (
        told["lockfile"],
        told["envdoc_version"],
        told["doctor"],
    )
    assert (12, 8, 118) == (told["training"]["steps"], told["run"]["lora.r"], told["data"]["rows"])
    assert told["training"]["tokens_per_second_total"] > told["training"]["tokens_per_second_useful"] > 0
    assert told["training"]["peak_bytes"] > 50_000_000  # torch alone takes more
    assert {"torch", "transformers", "peft", "bitsandbytes"} <= set(told["environment"]["libraries"])
    assert str(finished / "runs/default/base") == told["base"]["path"]
    assert told["proof"]["real"] is True
    assert (finished / "runs/default/loss.png").read_bytes().startswith(b"\x89PNG")


def test_checkpoints_hold_no_base_weights_and_no_pickle(finished):
    """Two newest kept; adapter and optimizer tensors only; every file is safetensors or JSON."""
    run = finished / "runs/default"

    assert ["checkpoint-10", "checkpoint-12"] == sorted(p.name for p in run.glob("checkpoint-*"))
    files = {path.name for path in (run / "checkpoint-12").iterdir()}
    assert {
        "adapter_config.json",
        "adapter_model.safetensors",
        "complete.json",
        "optimizer.safetensors",
        "random.safetensors",
        "state.json",
        "trainer_state.json",
    } == files
    names = header(run / "checkpoint-12" / "adapter_model.safetensors")
    assert [] == [name for name in names if ".lora_" not in name]
    assert 3 * len(names) == len(
        header(run / "checkpoint-12" / "optimizer.safetensors")
    )  # Adam: step, two moments
    base = header(run / "base" / "model.safetensors")
    assert set() == {shape for name, shape in names.items()} & {shape for name, shape in base.items()}
    assert [] == [p for p in run.rglob("*") if p.suffix in (".bin", ".pt", ".pth", ".pkl")]
    assert [] == list(run.glob(".partial*"))


def header(path):
    """Name and shape of every tensor in a safetensors file."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        entries = json.loads(stream.read(length))
    return {name: tuple(e["shape"]) for name, e in entries.items() if name != "__metadata__"}


@pytest.mark.slow
def test_verify_knows_the_real_one_and_every_tampered_one(finished, inside, launch_many):
    """Each fault fails its own check and exit code 1; the untouched adapter, and one without receipt, pass."""
    shutil.rmtree(finished / "tampered", ignore_errors=True)
    assert sorted(FAILING) == inside(finished, TAMPER)

    real, *judged = launch_many(
        finished,
        ["verify", "runs/default/adapter", "--format", "json"],
        *[["verify", f"tampered/{name}", "--format", "json"] for name in FAILING],
    )

    document = json.loads(real["out"])
    assert (0, True, "") == (real["code"], document["real"], real["err"])
    assert [] == [check for check in document["checks"] if check["ok"] is not True]
    found = {}
    for name, result in zip(FAILING, judged):
        checks = json.loads(result["out"])["checks"]
        found[name] = {check["name"] for check in checks if check["ok"] is False}
        assert (1 if FAILING[name] else 0) == result["code"], name
    assert FAILING == found


def test_verify_speaks_in_lines_and_refuses_misuse(finished, launch_many, tmp_path):
    """Text form: a line a check and a verdict; no adapter, a lost base or a foreign config: exit 2, one sentence.

    A run's folder means its adapter, and a checkpoint is judged by the list that it keeps of itself.
    """
    lost = tmp_path / "lost"
    shutil.copytree(finished / "runs/default/adapter", lost)
    config = json.loads((lost / "adapter_config.json").read_text())
    (lost / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "/no/such/base"})
    )
    newer = tmp_path / "newer"
    shutil.copytree(finished / "runs/default/adapter", newer)
    (newer / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["no_such_layer"]}))
    broken = tmp_path / "broken"
    shutil.copytree(finished / "runs/default/adapter", broken)
    (broken / "envdoc-receipt.json").write_text("{}")

    other = tmp_path / "other"
    shutil.copytree(finished / "runs/default/checkpoint-12", other)
    shutil.copy(finished / "runs/default/checkpoint-10/adapter_model.safetensors", other)

    text, nothing, part, mixed, gone, moved, strange, torn, form = launch_many(
        finished,
        ["verify", "runs/default"],
        ["verify", "runs"],
        ["verify", "runs/default/checkpoint-10"],
        ["verify", str(other)],
        ["verify", str(lost)],
        ["verify", str(lost), "--base", "runs/default/base"],
        ["verify", str(newer)],
        ["verify", str(broken)],
        ["verify", "runs/default/adapter", "--format", "xml"],
    )

    assert (0, "ok   file: 42 tensors") == (text["code"], text["out"][:21])
    assert "The adapter in `runs/default/adapter` is real" in text["out"].splitlines()[-1]
    assert "ok   trained model: its 63 x 1024 logits equal the trained model's bit for bit" in text["out"]
    assert (0, "ok   file hash:") == (part["code"], re.search("ok   file hash:", part["out"]).group())
    assert "equals that of its checkpoint" in part["out"]
    assert (1, True) == (mixed["code"], "NOT real: file hash failed." in mixed["out"])
    assert (2, "error: `runs` holds no adapter: there is no adapter_config.json in it.") == (
        nothing["code"],
        nothing["err"].splitlines()[0],
    )
    assert (2, True) == (gone["code"], "There is no model folder `/no/such/base`." in gone["err"])
    assert "hint: If it has moved, name it with `--base FOLDER`." in gone["err"]
    assert 0 == moved["code"]
    assert (2, True) == (strange["code"], "describes no adapter that this peft can lay on" in strange["err"])
    assert (2, True) == (torn["code"], "is no receipt that this envdoc reads" in torn["err"])
    assert (2, True) == (form["code"], "hint: `envdoc verify --help`" in form["err"])
    for result in (nothing, gone, strange, torn, form):
        assert "Traceback" not in result["err"]


def test_a_finished_run_is_not_lost(finished, launch_many):
    """Without `overwrite=true` a finished run is refused; a dry run says the plan and touches nothing."""
    before = receipt(finished / "runs/default")

    refused, both, dry, once = launch_many(
        finished,
        ["train"],
        ["train", "--resume", "overwrite=true"],
        ["train", "--dry-run", "train.epochs=2"],
        ["train", "name=once", "train.steps=1", "proof=same"],  # its warm-up must not be all of it
    )

    assert [2, "error: `runs/default` holds a finished run already."] == [
        refused["code"],
        refused["err"].splitlines()[0],
    ]
    assert "Take another `name=...`, or replace it with `overwrite=true`." in refused["err"]
    assert (0, True) == (once["code"], "\n1 step in " in once["out"]), once["out"] + once["err"]
    assert (2, True) == (both["code"], "throws away what --resume would go on from" in both["err"])
    assert 0 == dry["code"], dry["err"]
    plan = [
        line for line in dry["out"].splitlines() if not line.startswith(" ")
    ]  # what is told of each is indented
    words = ["Run", "Data", "Model", "Adapter", "Training", "Preview", "Time", "Memory", "Nothing"]
    assert words == [line.split()[0] for line in plan]
    assert "118 rows" in plan[1] and "58,368 of 911,232 parameters train" in plan[3]
    assert "30 steps of 8 x 1 rows (15 an epoch)" in plan[4]
    assert before == receipt(finished / "runs/default")


def test_two_runs_never_share_a_folder(launch, tmp_path):
    """Where another process holds the folder nothing of it is touched, `overwrite=true` or not."""
    folder = tmp_path / "runs/held"
    (folder / "checkpoint-3").mkdir(parents=True)
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)

    done = launch("train", "name=held", "train.steps=2", "overwrite=true")
    os.close(other)

    assert 2 == done.returncode, done.stdout
    assert f"error: Another process trains in `{folder}`." in done.stderr
    assert (folder / "checkpoint-3").is_dir()


def test_the_launcher_leaves_no_trace_on_the_path(inside, tmp_path):
    """As a script it makes only `envdoc.train` importable: neither the doctor nor its own files by bare names."""
    seen = inside(
        tmp_path,
        """
from importlib.util import find_spec
import envdoc.train.config
def there(name):
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print(json.dumps([there(n) for n in ("envdoc.train", "envdoc.doctor", "pipeline", "fingerprint", "train")]))
""",
    )

    assert [True, False, False, False, False] == seen
