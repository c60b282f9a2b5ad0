"""A tokenizer.model that real SentencePiece trained, and folders of models around it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from model_folders import GOOD

PROBES = Path(__file__).resolve().parents[2] / "doctor" / "probes"


@pytest.fixture(scope="session")
def tokenizer_model(patient, tmp_path_factory):
    """The path of a LLaMA-shaped tokenizer.model of 400 pieces, made by the same code as the tokenizer probe's."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import _tiny; print(_tiny.sentencepiece_model(sys.argv[2]))"
    command = [str(patient), "-c", code, str(PROBES), str(folder / "llama")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture
def model_folder(tmp_path, tokenizer_model):
    """model_folder(FILES, NAME) -> a folder with tokenizer.model and these JSON files; None leaves one out."""

    def make(files=None, name="model", tokenizer=True):
        folder = tmp_path / name
        folder.mkdir()
        if tokenizer:
            shutil.copy(tokenizer_model, folder / "tokenizer.model")
        for file, content in {**GOOD, **(files or {})}.items():
            if content is not None:
                (folder / file).write_text(json.dumps(content, indent=2) + "\n")
        return folder

    return make
