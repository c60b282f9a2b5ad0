"""The proof without which no lock is written: a real installation, `pip check`, imports, and a training that ends in
a verified adapter. Resolvers and `pip check` pass stacks that do not train (transformers disables an old torch
without a word), so nothing less counts."""

import json
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Tuple

from .children import LockError, run, uv

STEPS = 15
ASK_TORCH = "; import json; print(json.dumps([torch.version.cuda, torch._C._cuda_getArchFlags()]))"
MODULES = {"pyyaml": "yaml", "protobuf": "google.protobuf"}  # a module that is not called as its package


@dataclass(frozen=True)
class Proof:
    """What `envdoc train` and `envdoc verify` said."""

    steps: int
    device: str  # "cpu", or the GPU's name
    losses: Tuple[float, ...]
    seconds: float  # of `envdoc train` and `envdoc verify` together
    cuda: str = ""  # torch.version.cuda
    torch_architectures: Tuple[str, ...] = ()

    def sentence(self) -> str:
        """As it stands in profiles.toml."""
        return (
            f"envdoc train: {self.steps} steps on {self.device}, loss {self.losses[0]:.3f} to {self.losses[-1]:.3f}, "
            f"adapter verified ({self.seconds:.0f} s)"
        )


def install(python: str, locks: List[Path], environment: Path) -> Path:
    """A fresh environment with these locks, every file checked by its hash; its interpreter. Raises LockError."""
    run(python, "-m", "venv", "--without-pip", environment)
    inside = environment / "bin" / "python"
    for lock in locks:
        uv(
            "pip", "install", "-q", "--python", inside, "--require-hashes", "--no-deps",
            "--only-binary", ":all:", "-r", lock,
        )  # fmt: skip
    return inside


def prove(python: Path, direct: List[str], work: Path) -> Proof:
    """Train STEPS steps in that environment and verify the adapter twice. Raises LockError where anything fails.

    `envdoc train` examines the environment first, compares the adapter on disk with the weights in memory and with
    the model's output; `envdoc verify` then judges the files alone in a new process.
    """
    uv("pip", "check", "--python", python)
    imports = "import " + ", ".join(MODULES.get(name, name) for name in direct)
    torch = json.loads(
        run(python, "-c", imports + ASK_TORCH).splitlines()[-1] if "torch" in direct else '[null, ""]'
    )
    started = time.monotonic()
    envdoc, output = [sys.executable, "-m", "envdoc.doctor"], work / "run"
    home = str(work / "home")
    run(
        *envdoc, "train", "--python", python, f"train.steps={STEPS}", f"output={output}",
        cwd=work, ENVDOC_HOME=home,
    )  # fmt: skip
    adapter = output / "adapter"
    told = run(*envdoc, "verify", adapter, "--python", python, "--format", "json", cwd=work, ENVDOC_HOME=home)
    receipt = json.loads((adapter / "envdoc-receipt.json").read_text(encoding="utf-8"))
    proof = judge(receipt, json.loads(told), time.monotonic() - started)
    return replace(proof, cuda=torch[0] or "", torch_architectures=tuple(torch[1].split()))


def judge(receipt: dict, verdict: dict, seconds: float) -> Proof:
    """The proof that a receipt and a verdict give. Raises LockError where they do not prove that it trained."""
    losses = tuple(loss for _, loss in receipt["training"]["losses"])
    failed = [check["name"] for check in [*receipt["proof"]["checks"], *verdict["checks"]] if not check["ok"]]
    if len(losses) != STEPS or not all(math.isfinite(loss) for loss in losses):
        raise LockError(f"The training probe took {len(losses)} steps of {STEPS}, with losses {losses}.")
    if losses[-1] >= losses[0]:
        raise LockError(f"The training probe learnt nothing: loss {losses[0]:.3f} to {losses[-1]:.3f}.")
    if failed or not (receipt["proof"]["real"] and verdict["real"]):
        raise LockError(f"The training probe's adapter is not real: {', '.join(failed)}.")
    device = receipt["environment"].get("gpu") or "cpu"
    return Proof(len(losses), device, losses, seconds)
