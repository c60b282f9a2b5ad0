"""Adapters that real peft has trained and saved, in the ways in which the scripts of 2023 do."""

from pathlib import Path

import pytest
from overlaid import run_over

SCRIPT = Path(__file__).parent / "trained_adapters.py"


@pytest.fixture(scope="session")
def trained(patient, tmp_path_factory):
    """trained(OVERLAY...) -> a folder with what trained_adapters.py makes there with those packages."""
    made = {}

    def make(*overlays):
        if overlays not in made:
            made[overlays] = tmp_path_factory.mktemp("trained")
            run_over(patient, SCRIPT, ["make", made[overlays]], *overlays)
        return made[overlays]

    return make


@pytest.fixture(scope="session")
def answers(patient):
    """answers(ROOT, ADAPTER, OVERLAY...) -> "tuned" or "base": whose logits the loaded model has."""

    def ask(root, adapter, *overlays):
        return run_over(patient, SCRIPT, ["ask", root, adapter], *overlays).splitlines()[-1]

    return ask
