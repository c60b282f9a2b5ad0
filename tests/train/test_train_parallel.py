"""Several processes on gloo: the same training as one process, stopped, killed and refused together."""

import json
import os
import signal
import socket
import subprocess

import pytest
from overlaid import install
from train_children import LAUNCH, LIMIT_SECONDS, environment, losses, ranks_of, receipt, started, wait_for

RUN = ["train.batch_size=4", "train.accumulation=2", "lora.dropout=0", "train.log_every=1", "train.keep=99"]
RUN += [
    "data.packing=false"
]  # else two processes lay an update in two passes, and one in one: equal but for rounding


def together(patient, folder, *words):
    """A finished run of the launcher; its words are those of `launch.py`."""
    with started(patient, words, folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        out, err = run.communicate(timeout=LIMIT_SECONDS)
    return run.returncode, out, err


def free_port():
    """A port that nobody has, as a word."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def alone(launch, tmp_path):
    """A function: the folder of a run of one process with these words; dropout is off, since ranks draw their own."""

    def run(*words):
        done = launch("train", *RUN, *words, "name=alone")
        assert 0 == done.returncode, done.stderr
        return tmp_path / "runs/alone"

    return run


@pytest.mark.slow
def test_two_processes_lose_one_go_on_and_stop_together(patient, alone, launch, tmp_path):
    """Rank 1 is killed after a checkpoint: both start again from it, with the losses and adapters of one process.
    SIGTERM to the launcher stops both after the same update, with a checkpoint, exit code 143 and one sentence.

    Only rank 0 speaks and writes. One process does not go on where two have stopped: that were not the same run.
    """
    words = ["train.steps=30", "train.save_every=1"]
    folder = tmp_path / "runs/two"
    outputs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started(patient, ["train", "--nproc", "2", *RUN, *words, "name=two"], tmp_path, **outputs) as run:
        wait_for(folder / "checkpoint-3", run)
        os.kill(ranks_of(run)[1], signal.SIGKILL)
        again = ""
        while "starting again" not in again or "step " not in again.split("starting again")[1]:
            again += run.stderr.readline()
            assert run.poll() is None, again
        run.send_signal(signal.SIGTERM)
        out, err = run.communicate(timeout=LIMIT_SECONDS)

    assert 143 == run.returncode, again + err
    assert "Rank 1 was ended by SIGKILL; starting again from the last checkpoint." in again
    assert ["error: Stopped at step "] == [line[:23] for line in err.splitlines() if line.startswith("error")]
    assert err.endswith("hint: Go on with the same command and --resume.\n")
    assert 2 == out.count(
        "Processes 2, a whole base each (DDP); each takes 1 of the 2 micro-batches of an update."
    )
    done = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    single = alone(*words)
    assert losses(single)[: len(done)] == [[entry["step"], entry["loss"]] for entry in done]
    files, same = (
        json.loads((run_folder / f"checkpoint-{len(done)}/complete.json").read_text())["files"]
        for run_folder in (folder, single)
    )
    assert same["adapter_model.safetensors"] == files["adapter_model.safetensors"]
    assert {"rank-1.json", "rank-1.safetensors"} == set(files) - set(same)
    assert [] == list(folder.glob(".partial*"))

    refused = launch("train", "--resume", *RUN, *words, "name=two")
    assert 2 == refused.returncode
    assert "world_size was 2 and is 1." in refused.stderr


@pytest.mark.slow
def test_shards_train_as_one_process_does(patient, alone, tmp_path):
    """FSDP: the losses of one process, an adapter gathered, read back and proved on a base in one piece."""
    words = ["train.steps=6", "train.save_every=3"]
    two = ["train", "--nproc", "2", *RUN, *words, "parallel.strategy=fsdp", "name=shards"]
    code, out, err = together(patient, tmp_path, *two)
    folder = tmp_path / "runs/shards"

    assert 0 == code, err
    assert 1 == out.count("Proved: ")
    single = alone(*words)
    assert [step for step, _ in losses(single)] == [step for step, _ in losses(folder)]
    assert [loss for _, loss in losses(single)] == pytest.approx(
        [loss for _, loss in losses(folder)], rel=1e-6
    )
    assert (2, 1) == (receipt(folder)["training"]["processes"], receipt(folder)["training"]["nodes"])
    assert json.loads((folder / "adapter/adapter_config.json").read_text())["inference_mode"] is True


@pytest.mark.slow
def test_nodes_of_different_versions_are_refused_by_name(patient, tmp_path):
    """Two nodes, one with another peft in front: both end with exit code 2 and one sentence that names it."""
    nodes, port = [], free_port()
    for rank, path in enumerate(["", str(install(patient, "peft-0.3.0"))]):
        words = ["train", "--nproc", "1", "--nnodes", "2", "--node-rank", str(rank), *RUN]
        words += ["--master-addr", "127.0.0.1", "--master-port", port]
        nodes.append(
            subprocess.Popen(
                [str(patient), str(LAUNCH), *words],
                cwd=str(tmp_path),
                env={**environment(), "PYTHONPATH": path},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    told = [node.communicate(timeout=LIMIT_SECONDS)[1] for node in nodes]

    assert [2, 2] == [node.returncode for node in nodes], told
    for text in told:
        assert 1 == text.count("The 2 processes of this run are not alike: ")
        assert "peft is 0.3.0" in text
        assert "Traceback" not in text
    assert not (tmp_path / "runs").exists()
