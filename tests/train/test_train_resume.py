"""Interruptions: kill -9, Ctrl-C, a full disk, a torn checkpoint, a changed run. Nothing whole is ever lost."""

import fcntl
import json
import os
import pty
import resource
import shutil
import signal
import struct
import subprocess
import termios

import pytest
from train_children import LIMIT_SECONDS, losses, receipt, started, wait_for

# 15 updates an epoch: checkpoints fall inside epochs and on their boundary; dropout makes the random states count.
RUN = ["train.steps=40", "train.save_every=5", "train.keep=100", "lora.dropout=0.1", "train.log_every=1"]


@pytest.fixture(scope="module")
def whole(launch_many, tmp_path_factory):
    """The folder of an uninterrupted run, every checkpoint kept."""
    folder = tmp_path_factory.mktemp("whole")
    (done,) = launch_many(folder, ["train", *RUN])
    assert 0 == done["code"], done["err"]
    return folder


def assert_same(run_folder, other):
    """Same losses, to the last bit, and the same adapter."""
    assert losses(other) == losses(run_folder)
    assert receipt(other)["adapter"]["sha256"] == receipt(run_folder)["adapter"]["sha256"]


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been(patient, whole, launch, tmp_path):
    """kill -9 in the middle; --resume from the newest whole checkpoint: same losses and adapter hash."""
    with started(
        patient, ["train", *RUN], tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        wait_for(tmp_path / "runs/default/checkpoint-10", run)
        run.send_signal(signal.SIGKILL)
    assert -signal.SIGKILL == run.returncode
    assert not (tmp_path / "runs/default/adapter").exists()

    refused = launch("train", *RUN)
    resumed = launch("train", "--resume", *RUN)

    assert (2, "error: `runs/default` holds an unfinished run already.") == (
        refused.returncode,
        refused.stderr.splitlines()[0],
    )
    assert "go on with --resume" in refused.stderr
    assert 0 == resumed.returncode, resumed.stderr
    assert receipt(tmp_path / "runs/default")["training"]["resumed_from"].startswith("checkpoint-")
    assert_same(whole / "runs/default", tmp_path / "runs/default")


def cut_back(whole, folder, last):
    """A copy of the uninterrupted run as it was when checkpoint `last` had just been written."""
    run = folder / "runs/default"
    shutil.copytree(whole / "runs/default", run)
    shutil.rmtree(run / "adapter")
    for path in run.glob("checkpoint-*"):
        if int(path.name.split("-")[1]) > last:
            shutil.rmtree(path)
    return run


@pytest.mark.slow
def test_resuming_inside_and_at_the_end_of_an_epoch(whole, launch_many, tmp_path):
    """Checkpoints 15 (an epoch's end), 20 (inside one) and 40 (the last) lead to the same end; torn ones are passed."""
    folders = {name: tmp_path / name for name in ("boundary", "inside", "last", "torn")}
    for (_, folder), last in zip(folders.items(), (15, 20, 40, 25)):
        cut_back(whole, folder, last)
    torn = folders["torn"] / "runs/default"
    weights = torn / "checkpoint-25/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (torn / "checkpoint-20/complete.json").unlink()
    (torn / ".partial-checkpoint-30").mkdir()

    done = launch_many(
        tmp_path,
        *[["train", "--resume", f"output={folder}/runs/default", *RUN] for folder in folders.values()],
    )

    assert [0, 0, 0, 0] == [result["code"] for result in done], done
    starts = [receipt(folder / "runs/default")["training"]["resumed_from"] for folder in folders.values()]
    assert ["checkpoint-15", "checkpoint-20", "checkpoint-40", "checkpoint-15"] == starts
    for folder in folders.values():
        assert_same(whole / "runs/default", folder / "runs/default")
    assert not (torn / ".partial-checkpoint-30").exists()


def test_a_changed_run_is_not_resumed(whole, launch_many, tmp_path):
    """The refusal names what changed, with both values; what may change does not hinder."""
    run = cut_back(whole, tmp_path, 10)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "Q", "output": "A"}\n')

    rate, data, gone, nothing, free = launch_many(
        tmp_path,
        ["train", "--resume", *RUN, "train.learning_rate=0.005", "lora.r=4"],
        ["train", "--resume", *RUN, f"data={rows}"],
        ["train", "--resume", *RUN, f"data={rows}.gone"],
        ["train", "--resume", "name=other"],
        ["train", "--resume", "--dry-run", *RUN, "train.log_every=7", "data.packing=false", f"output={run}"],
    )

    assert (2, 2, 2, 2) == (rate["code"], data["code"], gone["code"], nothing["code"])
    assert f"{rows}.gone" in gone["err"] and "Traceback" not in gone["err"]
    assert "lora.r was 8 and is 4; train.learning_rate was 0.01 and is 0.005." in rate["err"]
    assert "the data's hash was " in data["err"]
    assert "holds no whole checkpoint to go on from" in nothing["err"]
    assert (0, "Resume    checkpoint-10, whole and of this very run.") == (
        free["code"],
        free["out"].splitlines()[1],
    )


@pytest.mark.slow
def test_ctrl_c_at_a_terminal_saves_and_tells_how_to_go_on(patient, whole, launch, tmp_path):
    """A real ^C through a terminal: the update is finished, a checkpoint saved, exit 130, and resuming is exact."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    run = started(
        patient, ["train", *RUN], tmp_path, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        preexec_fn=lambda: own_terminal(follower),
    )  # fmt: skip
    os.close(follower)
    seen = b""
    while b"step  8/40" not in seen:
        seen += os.read(leader, 4096)
    os.write(leader, b"\x03")
    try:
        while True:
            chunk = os.read(leader, 4096)
            if not chunk:
                break
            seen += chunk
    except OSError:  # the terminal's other end closed
        pass
    run.wait(LIMIT_SECONDS)
    text = seen.decode()

    assert 130 == run.returncode, text
    assert "\r" in text and "tokens/s" in text and "%|" in text  # the moving line of a terminal
    assert "Stopping after this update, with a checkpoint; press Ctrl-C again to stop at once." in text
    last = text.strip().splitlines()[-2:]
    assert last[0].startswith("error: Stopped at step ") and "is whole." in last[0]
    assert "hint: Go on with the same command and --resume." == last[1]
    assert "Traceback" not in text
    resumed = launch("train", "--resume", *RUN)
    assert 0 == resumed.returncode, resumed.stderr
    assert_same(whole / "runs/default", tmp_path / "runs/default")


def own_terminal(descriptor):
    """In the child: make the terminal the controlling one, so that ^C becomes SIGINT there."""
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


@pytest.mark.slow
def test_a_disk_that_fills_keeps_the_last_checkpoint(patient, launch, tmp_path):
    """From a moment on every write fails (a file size limit of the kernel): one sentence, exit 2, and it goes on."""
    with started(
        patient, ["train", *RUN], tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as run:
        wait_for(tmp_path / "runs/default/checkpoint-5", run)
        resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (1000, 1000))
        error = run.communicate(timeout=LIMIT_SECONDS)[1].decode()

    assert 2 == run.returncode, error
    message, hint = error.splitlines()[-2:]
    assert message.startswith("error: Checkpoint ") and "could not be written" in message
    assert hint.startswith("hint: Make room; --resume goes on from checkpoint-")
    assert "Traceback" not in error
    assert [] == list((tmp_path / "runs/default").glob(".partial*"))
    resumed = launch("train", "--resume", *RUN)
    assert 0 == resumed.returncode, resumed.stderr
    assert 40 == len(losses(tmp_path / "runs/default"))


def test_a_checkpoint_says_what_run_it_belongs_to(whole):
    """complete.json lists every file with its hash, and the values that a resumed run must share."""
    folder = whole / "runs/default/checkpoint-20"
    told = json.loads((folder / "complete.json").read_text())

    assert 20 == told["step"]
    assert set(told["files"]) == {path.name for path in folder.iterdir()} - {"complete.json"}
    assert (8, 0.1, "fp32") == (told["run"]["lora.r"], told["run"]["lora.dropout"], told["run"]["the dtype"])


def test_another_number_of_processes_is_another_run(whole, inside, tmp_path):
    """`world_size` is refused with both values; a key that the checkpoint does not know yet had its default then."""
    cut_back(whole, tmp_path, 10)
    told = inside(
        tmp_path,
        """
from pathlib import Path
from envdoc.train import checkpoint
from envdoc.train.errors import ResumeError
folder = Path("runs/default/checkpoint-10")
run = json.loads((folder / "complete.json").read_text())["run"]
def refused(identity):
    try:
        checkpoint.check_identity(folder, identity)
    except ResumeError as error:
        return error.message.split(": ", 1)[1]
same = refused(run)
other = refused({**run, "world_size": 2})
complete = json.loads((folder / "complete.json").read_text())
for key in ("world_size", "train.weight_decay"):
    del complete["run"][key]
(folder / "complete.json").write_text(json.dumps(complete))
print(json.dumps([same, other, refused(run), refused({**run, "train.weight_decay": 0.1})]))
""",
    )

    assert [None, "world_size was 1 and is 2.", None, "train.weight_decay was 0.0 and is 0.1."] == told
