"""The command line as a user has it: a real child process."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def envdoc(tmp_path):
    """A function that runs `envdoc ARGUMENTS` in an empty folder and returns how it ended."""

    def run(*arguments, **options):
        command = [str(Path(sys.executable).parent / "envdoc"), *map(str, arguments)]
        settings = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300, **options}
        return subprocess.run(command, check=False, **settings)

    return run
