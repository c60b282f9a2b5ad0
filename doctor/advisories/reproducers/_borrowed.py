"""What reproducers share with the probes: the tiny models of doctor/probes/_tiny.py, and no network.

Import this before the library under test: the variables must be set when that library is imported.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import Any, Callable

# Trainers import datasets where they find it; today's cannot live with a huggingface_hub of 2023, and a list serves.
sys.modules["datasets"] = None  # type: ignore[assignment]
sys.path.append(str(Path(__file__).resolve().parents[2] / "probes"))
for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ[_name] = "1"
os.environ.update(TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error", WANDB_MODE="disabled")
os.environ.update(HF_HOME=str(Path("hf-home").resolve()))  # in the empty folder that a reproducer runs in
warnings.simplefilter("ignore")


def cured(remedy: Callable[[], Any], expected: Any = None) -> None:
    """The other side of a fault that no version cures: with the remedy the same run is well, or the proof fails.

    Raises AssertionError where the remedy gives something else than `expected` (None: anything).
    """
    result = remedy()
    if expected is not None and result != expected:
        raise AssertionError(f"the remedy gives {result!r}, not {expected!r}")
