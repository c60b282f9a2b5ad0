"""The pipeline as its users meet it: `launch.py`, started by path in a real training environment."""

import json

import pytest
from forked_runs import ForkedRuns


@pytest.fixture(scope="session")
def forked(patient):
    """Runs forked from one process that has imported the libraries: `forked.start(words, cwd)`, `.finish(...)`."""
    runs = ForkedRuns(patient)
    yield runs
    runs.close()


@pytest.fixture
def launch(forked, tmp_path):
    """A function: the words of a command of launch.py in, its finished process out."""
    return lambda *words, cwd=tmp_path: forked.finish(words, cwd)


@pytest.fixture(scope="session")
def launch_many(forked):
    """A function: several commands in, their exit codes and outputs out."""

    def run(cwd, *commands):
        finished = [forked.finish(command, cwd) for command in commands]
        return [{"code": done.returncode, "out": done.stdout, "err": done.stderr} for done in finished]

    return run


@pytest.fixture(scope="session")
def inside(forked):
    """A function: Python text in, run in the target with `envdoc.train` importable; the JSON that it prints out."""

    def run(cwd, text):
        done = forked.finish([], cwd, text=text)
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def finished(forked, tmp_path_factory):
    """A folder with a short finished run of the built-in example, told a context as the doctor tells it, and proved
    by a fresh process."""
    folder = tmp_path_factory.mktemp("finished")
    told = {
        "envdoc_version": "9.9",
        "facts": {"taken_at": "then"},
        "lockfile": {"profile": "cpu", "sha256": "ab" * 32},
    }
    (folder / "context.json").write_text(json.dumps(told))
    words = ["train", "--context", "context.json", "train.steps=12", "train.save_every=5"]
    words += ["proof=fresh"]
    done = forked.finish(words, folder)
    assert 0 == done.returncode, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder
