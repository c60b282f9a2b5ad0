"""A process that measures recipes one after another: loads its libraries at once, and touches the GPU when told to.

    PYTHON child.py envdoc|trainer|unsloth-bf16|unsloth-nf4 FOLDER TRAIN SHRINK

Each line of its input is a recipe as JSON, each line of its output that begins with `BENCH ` a result. All children
import at the same time, which on a lent machine costs half a minute, and are then measured one at a time.
"""

import gc
import importlib.metadata
import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any, Callable, Dict

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "liger_kernel",
    "triton",
    "unsloth",
    "trl",
)


def say(result: Dict[str, Any]) -> None:
    """One result, in one line, past whatever a library printed before it."""
    print("\nBENCH " + json.dumps(result), flush=True)


def main() -> None:
    """Serve until the input ends."""
    kind, place, train, shrink = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    launch = runpy.run_path(str(train / "launch.py"))
    launch["prepare_process"]()
    if kind != "envdoc":
        os.environ["HF_HUB_OFFLINE"] = "1"
    launch["make_importable"]()  # its tokenizer serves the others, too
    measure = _measurer(kind, place, shrink)
    say({"ready": kind, "versions": {name: _version(name) for name in LIBRARIES}})
    for line in sys.stdin:
        say(_answered(measure, json.loads(line)))
        _let_go()


def _measurer(kind: str, place: Path, shrink: int) -> Callable[[Any], Dict[str, Any]]:
    if kind == "envdoc":
        from bench_train.ours import Measurer
    elif kind == "trainer":
        from bench_train.trainer_peft import Measurer  # type: ignore[assignment]
    else:
        from bench_train.through_unsloth import Measurer  # type: ignore[assignment]
    return Measurer(place, shrink)


def _answered(measure: Callable[[Any], Dict[str, Any]], request: Dict[str, Any]) -> Dict[str, Any]:
    from bench_train.recipes import Recipe

    if "matmul" in request:
        from bench_train.matmul import rates

        return rates(request["matmul"])
    if "write" in request:
        from bench_train import made, matmul

        made.write(request["write"], Path(request["to"]), matmul.device())
        return {"written": request["write"]}
    recipe = Recipe(**{**request, "words": tuple(request["words"])})
    try:
        return {"name": recipe.name, **measure(recipe)}
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        told = str(error).strip().splitlines() or [""]
        return {"name": recipe.name, "problem": f"{type(error).__name__}: {told[0][:300]}"}


def _let_go() -> None:
    """Nothing of one recipe may lie in memory while the next is measured."""
    import torch

    for _ in range(2):  # Trainer and its callbacks hold each other in cycles
        gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _version(name: str) -> Any:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
