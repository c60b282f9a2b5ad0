"""The pipeline learns: it makes right answers of wrong ones, and not only a loss that falls."""

import json
from pathlib import Path

from train_children import child

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prove-learning"


def test_a_base_that_can_copy_learns_to_sort(patient, tmp_path):
    """A Llama that was trained from nothing to copy: of 400 held-out questions under 20% right, then over 95%."""
    done = child(patient, [SCRIPT, "--fast", "--task", "sort", "--json"], tmp_path)

    result = json.loads(done.stdout)
    assert result["base_on_its_own_tasks"] > 0.95
    assert result["base"] < 0.20
    assert result["adapted"] > 0.95
    assert 0 == done.returncode, done.stderr
