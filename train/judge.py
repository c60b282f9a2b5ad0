"""`envdoc verify`: the verdict on an adapter that lies on the disk. It is also how a run judges its own, at the end."""

import json
import time
from pathlib import Path
from typing import Any, Mapping, Optional, Tuple

from envdoc.train.laid import base_of, describe, load_as_it_was
from envdoc.train.libraries import load_libraries
from envdoc.train.told import Told, find_adapter, read_told


def judge(named: Path, base: Optional[str], form: str, static: Optional[str] = None) -> int:
    """Print the verdict as text or JSON; 0 where the adapter is real, 1 where it is not. Raises TrainError.

    `named` is an adapter's folder, a checkpoint's, or a run's. `static` names a JSON file with what was read off the
    folder before: its checks lead those of the document.
    """
    started = time.monotonic()
    folder = find_adapter(named)
    described = describe(folder)
    told = read_told(folder)
    load_libraries()
    from envdoc.train.verify import prove_folder

    base_folder, loaded, place = _load_base(folder, described, told, base)
    proof = prove_folder(folder, loaded, told, base_folder, place)
    if form == "json":
        before = json.loads(Path(static).read_text(encoding="utf-8")) if static else {"checks": []}
        document = {
            **before,
            "schema_version": 1,
            "adapter": str(folder),
            "base": str(base_folder),
            "real": proof.real,
            "checks": before["checks"] + proof.to_json(),
            "place": place,
            "seconds": round(time.monotonic() - started, 3),
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return 0 if proof.real else 1
    for check in proof.checks:
        print(check.line())
    if proof.real:
        print(f"The adapter in `{folder}` is real, on the base model `{base_folder}`.")
        return 0
    failed = ", ".join(check.name for check in proof.checks if check.ok is False)
    print(f"The adapter in `{folder}` is NOT real: {failed} failed.")
    return 1


def _load_base(
    folder: Path, described: Mapping[str, Any], told: Optional[Told], given: Optional[str]
) -> Tuple[Path, Any, Mapping[str, Any]]:
    """The base's folder, the base as it was trained on as far as this machine can, and on what it computes."""
    from envdoc.train import witness

    base_folder, model = base_of(folder, described, told, given)
    base, model, precision = load_as_it_was(base_folder, model)
    _same_threads(told, precision)
    return base_folder, base, witness.place(precision.device, precision.dtype, model.quantization)


def _same_threads(told: Optional[Told], precision: Any) -> None:
    """On a CPU sums are split by the number of threads, and another split rounds otherwise."""
    import torch

    if precision.device.type == "cpu" and told is not None and told.witness is not None:
        torch.set_num_threads(max(1, min(int(told.witness["threads"]), torch.get_num_threads())))
