"""The loss of LoRA by its rank: the tiny model on the bundled rows, trained by `envdoc train` with the same seed.

usage: ranks.py OUT.json       in an environment that envdoc trains in; a minute on two CPU cores
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LAUNCH = Path(__file__).resolve().parents[2] / "train/launch.py"
RANKS = (1, 2, 4, 8, 16, 32)
LIMIT_SECONDS = 600


def main(out: Path) -> None:
    """Train once at each rank, and once more with B's learning rate at zero."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for rank in RANKS:
            words = [
                f"lora.r={rank}",
                f"lora.alpha={2 * rank}",
                "train.steps=120",
                "proof=same",
                f"name=r{rank}",
            ]
            command = [sys.executable, str(LAUNCH), "train", *words]
            environment = {**os.environ, "ENVDOC_HOME": f"{folder}/home", "OMP_NUM_THREADS": "1"}
            subprocess.run(
                command, cwd=folder, env=environment, check=True, timeout=LIMIT_SECONDS, capture_output=True
            )
            adapter = Path(folder) / "runs" / f"r{rank}" / "adapter"
            receipt = json.loads((adapter / "envdoc-receipt.json").read_text(encoding="utf-8"))
            runs.append(
                {
                    "rank": rank,
                    "bytes": receipt["adapter"]["bytes"],
                    "losses": [loss for _, loss in receipt["training"]["losses"]],
                }
            )
    versions = receipt["environment"]["libraries"]
    told = {name: versions[name] for name in ("torch", "transformers", "peft")}
    out.write_text(json.dumps({"versions": told, "runs": runs}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
