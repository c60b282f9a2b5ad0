"""`envdoc verify`: the verdict on an adapter that lies on the disk."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from envdoc.train.config import Model
from envdoc.train.errors import AdapterError, ModelError
from envdoc.train.libraries import load_libraries
from envdoc.train.progress import say


def judge(folder: Path, base: Optional[str], form: str, static: Optional[str] = None) -> int:
    """Print the verdict as text or JSON; 0 where the adapter is real, 1 where it is not. Raises TrainError.

    `static` names a JSON file with what was read off the folder before: its checks lead those of the document.
    """
    started = time.monotonic()
    described = _describe(folder)
    load_libraries()
    from envdoc.train import receipt as receipts
    from envdoc.train.verify import prove_folder, read_receipt

    receipt = read_receipt(folder / receipts.NAME)
    base_folder, loaded = _load_base(folder, described, receipt, base)
    proof = prove_folder(folder, loaded, receipt, base_folder)
    if form == "json":
        before = json.loads(Path(static).read_text(encoding="utf-8")) if static else {"checks": []}
        document = {
            **before,
            "schema_version": 1,
            "adapter": str(folder),
            "base": str(base_folder),
            "real": proof.real,
            "checks": before["checks"] + proof.to_json(),
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


def _describe(folder: Path) -> Dict[str, Any]:
    path = folder / "adapter_config.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AdapterError(
            f"`{folder}` holds no adapter: there is no adapter_config.json in it.",
            "`envdoc train` prints where it saves one; usually runs/NAME/adapter.",
        ) from None
    except (OSError, ValueError) as error:
        raise AdapterError(f"`{path}` cannot be read: {error}.") from None
    if not isinstance(described, dict):
        raise AdapterError(f"`{path}` holds no description of an adapter.")
    return described


def _load_base(
    folder: Path, described: Mapping[str, Any], receipt: Optional[Mapping[str, Any]], given: Optional[str]
) -> Any:
    from envdoc.train.model import check_folder, check_quantisation, choose_precision, load_base

    named = given or described.get("base_model_name_or_path")
    if not named:
        raise AdapterError(
            f"`{folder}/adapter_config.json` names no base model.", "Name its folder with `--base FOLDER`."
        )
    told = receipt["run"] if receipt else {}
    model = Model(
        path=str(named),
        quantization=told.get("model.quantization", "none"),
        trust_remote_code=bool(told.get("model.trust_remote_code", False)),
        revision=told.get("model.revision"),
    )
    try:
        base_folder = check_folder(model)
    except ModelError as error:
        moved = None if Path(str(named)).is_dir() else "If it has moved, name it with `--base FOLDER`."
        raise AdapterError(
            f"The base model of `{folder}` cannot be used: {error.message}", moved or error.hint
        ) from None
    precision = choose_precision(model)
    if model.quantization != "none":
        try:
            check_quantisation(model.quantization, precision)
        except ModelError as error:
            say(f"note: {error.message} The base model is loaded unquantised instead.")
            model = replace(model, quantization="none")
    return base_folder, load_base(base_folder, model, precision)
