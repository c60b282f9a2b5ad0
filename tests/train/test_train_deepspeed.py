"""DeepSpeed's ZeRO on gloo: two processes train as one does, one of them is lost, and nothing is pickled."""

import json
import os
import signal
import subprocess

import pytest
from overlaid import install
from train_children import LAUNCH, LIMIT_SECONDS, environment, losses, ranks_of, receipt, wait_for

RUN = ["train.batch_size=4", "train.accumulation=4", "train.steps=6", "train.save_every=2", "train.keep=99"]
RUN += ["lora.dropout=0", "proof=same"]


@pytest.fixture
def stage_3(tmp_path):
    """The words of a run in which every weight is cut up."""
    zero = {"stage": 3, "stage3_param_persistence_threshold": 0, "overlap_comm": False}
    (tmp_path / "zero.json").write_text(json.dumps({"zero_optimization": zero, "bf16": {"enabled": "auto"}}))
    return ["parallel.strategy=deepspeed", "parallel.deepspeed=zero.json"]


@pytest.mark.slow
def test_zero_loses_a_process_goes_on_and_trains_as_one_process_does(patient, launch, stage_3, tmp_path):
    """Rank 1 is killed after a checkpoint; the losses are those of one process, and the gathered adapter is proved.

    A checkpoint holds each rank's part of the optimizer in a file of its own, and no file that unpickling would read.
    """
    command = [str(patient), str(LAUNCH), "train", "--nproc", "2", *RUN, *stage_3, "name=zero"]
    surroundings = {**environment(), "PYTHONPATH": str(install(patient, "deepspeed"))}
    with subprocess.Popen(
        command,
        cwd=str(tmp_path),
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        wait_for(tmp_path / "runs/zero/checkpoint-2", run)
        os.kill(ranks_of(run)[1], signal.SIGKILL)
        out, err = run.communicate(timeout=LIMIT_SECONDS)
    assert 0 == run.returncode, err
    assert "was ended by SIGKILL; starting again from the last checkpoint." in err
    assert 1 == out.count("Proved: ")
    assert (
        "Processes 2, a shard of the base each (DeepSpeed, ZeRO-3); each takes 2 of the 4 micro-batches"
        in out
    )

    done = launch("train", *RUN, "name=one")
    assert 0 == done.returncode, done.stderr
    zero, one = losses(tmp_path / "runs/zero"), losses(tmp_path / "runs/one")
    assert [step for step, _ in one] == [step for step, _ in zero]
    assert [loss for _, loss in one] == pytest.approx([loss for _, loss in zero], rel=1e-6)
    assert 2 == receipt(tmp_path / "runs/zero")["training"]["processes"]
    left = {path.suffix for path in (tmp_path / "runs/zero").rglob("*") if path.is_file()}
    assert not left & {".pt", ".pth", ".bin", ".pkl"}
    files = json.loads((tmp_path / "runs/zero/checkpoint-6/complete.json").read_text())["files"]
    assert {"optimizer.safetensors", "rank-1.safetensors", "rank-1.json"} <= set(files)


def test_one_process_has_nothing_to_share(launch, stage_3):
    """One sentence and exit code 2, before anything is loaded."""
    done = launch("train", *RUN, *stage_3)
    assert 2 == done.returncode
    assert "error: `parallel.strategy` is deepspeed, and this run is a single process." in done.stderr
