"""The pipeline as its users meet it: `launch.py`, started by path in a real training environment."""

import json

import pytest
from train_children import INSIDE, LAUNCH, MANY, child


@pytest.fixture
def launch(patient, tmp_path):
    """A function: the words of a command of launch.py in, its finished process out."""
    return lambda *words, cwd=tmp_path: child(patient, [LAUNCH, *words], cwd)


@pytest.fixture(scope="session")
def launch_many(patient):
    """A function: several commands in, one process, their exit codes and outputs out."""

    def run(cwd, *commands):
        told = json.dumps([[str(word) for word in command] for command in commands])
        done = child(patient, ["-c", MANY, LAUNCH, told], cwd)
        assert (0, "") == (done.returncode, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="session")
def inside(patient):
    """A function: Python text in, run in the target with `envdoc.train` importable; the JSON that it prints out."""

    def run(cwd, text):
        done = child(patient, ["-c", INSIDE + text, LAUNCH], cwd)
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def finished(patient, tmp_path_factory):
    """A folder with a short finished run of the built-in example, told a context as the doctor tells it."""
    folder = tmp_path_factory.mktemp("finished")
    told = {
        "envdoc_version": "9.9",
        "facts": {"taken_at": "then"},
        "lockfile": {"profile": "cpu", "sha256": "ab" * 32},
    }
    (folder / "context.json").write_text(json.dumps(told))
    words = ["train", "--context", "context.json", "train.steps=12", "train.save_every=5"]
    done = child(patient, [LAUNCH, *words], folder)
    assert 0 == done.returncode, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder
