"""The run's folder: what it holds, that it can be done again, what happened in it, and who proves the adapter."""

import io
import json
import os
import pty
import re
from pathlib import Path

import pytest
from train_children import losses, receipt

from envdoc.train import events, launch, progress
from envdoc.train.config import flat
from envdoc.train.runfile import load

# The base is altered in memory after it was read, as no file says: only a process of its own sees that. Before the
# child starts, no tensor of the size of the base may be left in this one.
ALTERED = """
import gc
from pathlib import Path
os.environ["HOME"] = str(Path.cwd())
import torch
from envdoc.train import fresh, model
from envdoc.train.pipeline import run

seen = {}
load_base, free_memory = model.load_base, fresh.free_memory

def altered(*words):
    base = load_base(*words)
    with torch.no_grad():
        base.model.layers[0].mlp.up_proj.weight += 0.05
    return base

def freed():
    free_memory()
    left = [one for one in gc.get_objects() if isinstance(one, torch.Tensor)]
    seen["left"] = sum(one.numel() for one in left)

model.load_base, fresh.free_memory = altered, freed
words = ["output=" + str(Path.cwd() / "runs/altered"), "train.steps=3"]
seen["code"] = run(None, words, None, False, False)
print(json.dumps(seen))
"""

WITNESS = """
import torch
from envdoc.train import witness

torch.manual_seed(0)
plain = torch.randn(20, 50)
trained = plain + 0.1 * torch.randn(20, 50)
here = witness.place(torch.device("cpu"), "fp32", "none")
told = json.loads(json.dumps({**witness.take(trained, plain), "place": here}))
other = {**here, "device": "cuda", "dtype": "bf16"}
noise = torch.randn(20, 50)
print(json.dumps({
    "equal": witness.compare(told, here, trained.clone(), plain),
    "rounded": witness.compare(told, here, trained + 1e-6, plain),
    "off": witness.compare(told, here, trained + 0.01 * noise, plain),
    "elsewhere": witness.compare(told, other, trained + 0.01 * noise, plain),
    "too near": witness.compare(told, other, trained + 0.2 * noise, plain),
    "base": witness.compare(told, here, plain, plain),
    "nonsense": witness.compare(told, other, 100 * noise, plain),
    "nan": witness.compare(told, other, trained * float("nan"), plain),
    "shape": witness.compare(told, here, trained[:-1], plain),
}))
"""


def test_the_folder_tells_what_ran(finished):
    """Settings, environment, events, curve and report lie beside the adapter; nothing unfinished is left."""
    run = finished / "runs/default"

    assert {
        "adapter", "base", "checkpoint-10", "checkpoint-12", "environment.json", "events.jsonl", "loss.png",
        "report.html", "run.yaml", "steps.jsonl",
    } == {path.name for path in run.iterdir()}  # fmt: skip
    told = json.loads((run / "environment.json").read_text())
    assert ({"profile": "cpu", "sha256": "ab" * 32}, "9.9") == (told["lockfile"], told["envdoc_version"])
    assert told["libraries"]["torch"].startswith(told["distributions"]["torch"].split("+")[0])
    assert {"transformers", "tqdm", "PyYAML"} <= set(told["distributions"])


def test_run_yaml_is_the_run(finished):
    """Read again it gives every value that the receipt tells, also where one key leaves another without effect."""
    again, _ = load(str(finished / "runs/default/run.yaml"), ["name=again"])
    was = receipt(finished / "runs/default")["run"]

    assert 8 == was.pop("train.epochs")  # of the built-in example, replaced by 12 steps
    values = flat(again)
    assert ("again", "default") == (values.pop("name"), was.pop("name"))
    assert was == {key: value for key, value in values.items() if key != "train.epochs"}


def test_the_events_of_a_run(finished):
    """Start, every update, every checkpoint and the end, in order, each with its time."""
    told = events.read(finished / "runs/default/events.jsonl")

    assert ["start", "end"] == [told[0]["kind"], told[-1]["kind"]]
    assert sorted(event["time"] for event in told) == [event["time"] for event in told]
    steps = [[event["step"], event["loss"]] for event in told if event["kind"] == "step"]
    assert losses(finished / "runs/default") == steps
    assert [5, 10, 12] == [event["step"] for event in told if event["kind"] == "checkpoint"]
    assert (12, "Data") == (told[0]["steps"], told[0]["plan"][0].split()[0])
    assert ("proved", True) == (told[-1]["outcome"], told[-1]["message"].endswith("trained model's output."))


def test_a_fresh_process_proves_the_adapter(finished):
    """On a CPU in fp32 it computes the very logits that training ended with, bit for bit; the receipt tells it."""
    told = receipt(finished / "runs/default")

    check = told["proof"]["checks"][-1]
    assert ("fresh process", True) == (check["name"], check["ok"])
    assert re.match(
        r"on a fresh base its \d+ x 1024 logits equal the trained model's bit for bit; with and",
        check["detail"],
    )
    assert 20_000 > len((finished / "runs/default/adapter/envdoc-receipt.json").read_bytes())


@pytest.mark.slow
def test_what_works_only_where_it_was_trained_is_not_real(inside, tmp_path):
    """A base altered in memory: this process finds nothing, the fresh one does, and the run says so with exit code 1.

    By then the model is gone from memory. No file but peft's own tells the name of the home folder.
    """
    seen = inside(tmp_path, ALTERED)

    assert 1 == seen["code"]
    assert 100_000 > seen["left"]  # the base has 852,864 numbers
    run = tmp_path / "runs/altered"
    *here, check = receipt(run)["proof"]["checks"]
    assert [True] == list({check["ok"] for check in here})
    assert ("fresh process", False) == (check["name"], check["ok"])
    assert "trained model: its logits differ from the trained model's by up to " in check["detail"]
    assert "not real" == events.read(run / "events.jsonl")[-1]["outcome"]
    telling = [
        path for path in run.rglob("*") if path.is_file() and str(tmp_path).encode() in path.read_bytes()
    ]
    assert {"adapter_config.json"} == {path.name for path in telling}
    assert load(str(run / "run.yaml"), [])[0].folder.expanduser().name == "altered"


def test_answers_are_compared_as_far_as_they_can_be(inside, tmp_path):
    """The same place: a hundredth of the adapter's effect. Another: nearer to the trained model than to the base;
    None where rounding leaves no verdict; never true of what is no number or another model's."""
    seen = inside(tmp_path, WITNESS)

    assert {
        "equal": True, "rounded": True, "off": False, "elsewhere": True, "too near": None, "base": False,
        "nonsense": False, "nan": False, "shape": False,
    } == {name: verdict for name, (verdict, _) in seen.items()}  # fmt: skip
    assert "its 20 x 50 logits equal the trained model's bit for bit" == seen["equal"][1]
    assert seen["elsewhere"][1].endswith("(device was cpu and is cuda; dtype was fp32 and is bf16)")


@pytest.mark.slow
def test_a_resumed_run_tells_each_update_once(launch_many, tmp_path):
    """What a run that was killed did after its last checkpoint is done again: the events tell both, the reader one."""
    words = ["train", "train.steps=6", "train.save_every=2"]
    run = tmp_path / "runs/default"
    (whole,) = launch_many(tmp_path, words)
    assert 0 == whole["code"], whole
    was = losses(run)
    file = run / "events.jsonl"
    # Killed in update 6, in the middle of a line, the newest checkpoint being 4.
    lines = file.read_bytes().splitlines(keepends=True)
    killed = next(place for place, line in enumerate(lines) if b'"step": 6' in line)
    file.write_bytes(b"".join(lines[:killed]) + lines[killed][:30])
    for path in (run / "adapter", run / "checkpoint-6"):
        path.rename(tmp_path / path.name)

    (resumed,) = launch_many(tmp_path, [*words, "--resume"])

    assert 0 == resumed["code"], resumed
    told = events.read(file)
    assert [1, 2, 3, 4, 5, 5, 6] == [event["step"] for event in told if event["kind"] == "step"]
    kept = events.effective(told)
    assert was == [[event["step"], event["loss"]] for event in kept if event["kind"] == "step"]
    assert [4] == [event["step"] for event in kept if event["kind"] == "resume"]
    assert [2, 4, 6] == [event["step"] for event in kept if event["kind"] == "checkpoint"]
    assert "went on from update 4" in (run / "report.html").read_text()


def test_a_full_disk_costs_events_and_nothing_else(capsys):
    """Where the system refuses a line, that is said once, and writing goes on without a word."""
    told = events.Events(Path("/dev/full"))

    told.write("start")
    told.write("end")

    assert ["note: Events are no longer written to `/dev/full`: No space left on device."] == (
        capsys.readouterr().err.splitlines()
    )


def test_a_number_that_is_none_stays_json(tmp_path):
    """NaN and infinity, which JSON lacks, are text; secrets and the home folder's name are not written."""
    told = events.Events(tmp_path / "events.jsonl")
    told.write("step", step=1, loss=float("nan"), parts=[float("inf"), 1.5])
    told.write("end", message="at https://me:pass@host/x with hf_abcdefghijklmnopqrstuv")
    told.close()

    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    one, two = (json.loads(line, parse_constant=pytest.fail) for line in lines)

    assert ("nan", ["inf", 1.5]) == (one["loss"], one["parts"])
    assert "at https://<redacted>@host/x with <redacted>" == two["message"]


def test_a_dry_run_tells_time_and_memory_and_writes_nothing(launch, tmp_path):
    """A run file is tried: the longest micro-batch and a usual one; what the estimate rests on is said with it."""
    (tmp_path / "run.yaml").write_text("model: tiny\ndata: bundled\ntrain: {epochs: 2, batch_size: 2}\n")

    done = launch("train", "--config", "run.yaml", "--dry-run")

    assert 0 == done.returncode, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert re.match(
        r"Time      about [\d.]+ (s|min) for 30 updates, without checkpoints and proof: estimated from \d+ tokens "
        r"in [\d.e-]+ s, \d+ tokens in [\d.e-]+ s, and the lengths in all 15 updates of an epoch\.$",
        lines["Time"],
    ), lines["Time"]
    assert re.match(r"Memory    0\.\d+ GiB at most \(the process\), measured on the longest", lines["Memory"])
    assert "Nothing was trained (--dry-run)." == lines["Nothing"]
    assert ["run.yaml"] == [path.name for path in tmp_path.iterdir()]


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    """A moving line is for terminals that can write over it; one that calls itself dumb cannot."""
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb"), os.fdopen(follower, "w") as terminal:
        monkeypatch.setenv("TERM", "xterm")
        assert progress.moves(terminal)
        monkeypatch.setenv("TERM", "dumb")
        assert not progress.moves(terminal)


def test_a_name_that_the_terminal_cannot_show_ends_nothing(monkeypatch):
    """Where the encoding has no such letter it is written as an escape: a run of hours must not end by it."""
    bytes_ = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(bytes_, encoding="ascii", write_through=True))
    launch._print_anything()

    print("runs/数据")

    assert b"runs/\\u6570\\u636e\n" == bytes_.getvalue()
