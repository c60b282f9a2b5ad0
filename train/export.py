"""`envdoc export`: a GGUF file for llama.cpp and Ollama, written by llama.cpp's own converter.

The converter changes with every new model, so it is taken from the checkout of llama.cpp that the file is for
(`--llama-cpp DIR`), and nothing of it is kept here. What it wrote is read back: architecture, end token, template, and
one matrix compared number by number with the merged model's.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional

from envdoc.train import laid, merge
from envdoc.train.errors import ConfigError, ModelError, SaveError
from envdoc.train.laid import Named
from envdoc.train.libraries import load_libraries
from envdoc.train.progress import say

LIMIT_SECONDS = 4 * 3600  # a 70B model on a slow disk; only a converter that hangs reaches it
SHOWN_LINES = 3

# Runs in a child, with the checkout's own gguf package on its path. Prints what the file says, as JSON.
READER = """
import json, sys
from gguf import GGUFReader
file = GGUFReader(sys.argv[1])
def told(name):
    field = file.get_field(name)
    return None if field is None else field.contents()
architecture = told("general.architecture")
template = told("tokenizer.chat_template")
print(json.dumps({
    "architecture": architecture,
    "kind": told("general.type"),
    "tensors": len(file.tensors),
    "names": [tensor.name for tensor in file.tensors][:3],
    "types": sorted({tensor.tensor_type.name for tensor in file.tensors}),
    "eos": told("tokenizer.ggml.eos_token_id"),
    "layers": told(f"{architecture}.block_count"),
    "template": bool(template),
}))
if len(sys.argv) > 2:
    import numpy
    from safetensors import safe_open
    name = [tensor for tensor in file.tensors if tensor.name == sys.argv[4]]
    with safe_open(sys.argv[2], framework="pt") as stored:
        ours = stored.get_tensor(sys.argv[3]).float().numpy()
    kind = name[0].tensor_type.name if name else None
    raw = name[0].data if name else None
    if kind == "BF16":
        theirs = (raw.view(numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
    elif kind in ("F16", "F32"):
        theirs = raw.astype(numpy.float32)
    else:
        theirs = None
    equal = None if theirs is None else bool(numpy.array_equal(theirs.reshape(ours.shape), ours))
    print(json.dumps({"equal": equal}))
"""


def export(
    adapter: Path, out: Path, base: Optional[str], llama_cpp: Optional[str], kind: str, lora: bool
) -> int:
    """Write `out`, whole or not at all; 0 where it was read back and is right, 1 where not. Raises TrainError."""
    if out.exists():
        raise ConfigError(f"`{out}` is there already.", "Name a new file, or remove that one first.")
    checkout = _checkout(llama_cpp, "convert_lora_to_gguf.py" if lora else "convert_hf_to_gguf.py")
    named = laid.find(adapter, base)
    load_libraries()
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=str(out.absolute().parent)) as scratch:
        partial = Path(scratch) / out.name
        if lora:
            _adapter(named, checkout, partial, kind)
            checks = _look(checkout, partial, None)
        else:
            merged = Path(scratch) / "merged"
            sixteen = kind if kind in ("bf16", "fp16", "fp32") else "auto"
            made, differences = merge.write(named, merged, sixteen)
            for line in merge.lines(named, merged, made, differences)[:-1]:
                print(line)
            if not differences.kept:
                print(merge.lines(named, merged, made, differences)[-1])
                return 1
            _convert(checkout, "convert_hf_to_gguf.py", [str(merged)], partial, kind)
            checks = _look(checkout, partial, merged)
        problems = _problems(checks, lora)
        if not problems:
            _put(partial, out)
    print(
        f"GGUF      {checks['architecture']}, {checks['tensors']} tensors in {', '.join(checks['types'])}; "
        + (
            "an adapter: `llama-cli -m BASE.gguf --lora FILE`."
            if lora
            else f"end token {checks['eos']}; chat template {'in it' if checks['template'] else 'missing'}."
        )
    )
    for problem in problems:
        print(f"FAIL      {problem}")
    if problems:
        return 1
    print(f"File: {out} ({out.stat().st_size:,} bytes)")
    return 0


def _checkout(llama_cpp: Optional[str], script: str) -> Path:
    if llama_cpp is None:
        raise ConfigError(
            "A GGUF file is written by llama.cpp's own converter, and no checkout of it was named.",
            "Name its folder with `--llama-cpp DIR`: the one with convert_hf_to_gguf.py in it. "
            "`envdoc merge ADAPTER OUT` needs none, and makes the folder that the converter reads.",
        )
    folder = Path(llama_cpp).expanduser().absolute()
    for needed in (script, "gguf-py/gguf/__init__.py"):
        if not (folder / needed).is_file():
            raise ConfigError(
                f"`{folder}` is no checkout of llama.cpp: there is no {needed} in it.",
                "Clone the whole repository; nothing has to be built.",
            )
    return folder


def _adapter(named: Named, checkout: Path, partial: Path, kind: str) -> None:
    """The adapter by itself. The converter writes a DoRA adapter without its magnitudes, so it is refused."""
    if named.described.get("use_dora"):
        raise ConfigError(
            "llama.cpp's adapters hold no DoRA magnitudes, so this adapter would answer otherwise there.",
            "Leave `--lora` out: merged, DoRA is exact.",
        )
    arguments = [str(named.adapter), "--base", str(named.base)]
    # An adapter is small, so nothing is rounded; `auto` fails there (no `dim` of a LoraTorchTensor, seen 2026-11-30).
    _convert(checkout, "convert_lora_to_gguf.py", arguments, partial, "fp32" if kind == "auto" else kind)


def _convert(checkout: Path, script: str, arguments: List[str], partial: Path, kind: str) -> None:
    """Run the converter. Raises ModelError with its own reason."""
    gguf_kind = {"fp16": "f16", "fp32": "f32"}.get(kind, kind)
    command = [
        sys.executable,
        str(checkout / script),
        *arguments,
        "--outfile",
        str(partial),
        "--outtype",
        gguf_kind,
    ]
    say(f"Running {script} of {checkout} ...")
    done = _child(command, checkout)
    if done.returncode != 0 or not partial.is_file():
        said = [line for line in done.stderr.strip().splitlines() if line.strip()][-SHOWN_LINES:]
        raise ModelError(
            f"llama.cpp's converter ended with status {done.returncode}: {' | '.join(said) or 'it said nothing'}.",
            "A tokenizer or a model that it does not know needs a newer checkout of llama.cpp.",
        )


def _child(command: List[str], checkout: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(checkout / "gguf-py"), "HF_HUB_OFFLINE": "1"}
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"`{Path(command[1]).name}` did not end within {LIMIT_SECONDS // 3600} hours."
        ) from None


def _look(checkout: Path, file: Path, merged: Optional[Path]) -> Dict[str, Any]:
    """What the file says of itself, and whether a matrix in it equals the merged model's."""
    command = [sys.executable, "-c", READER, str(file)]
    matrix = _matrix(merged) if merged is not None else None
    command += matrix or []
    done = _child(command, checkout)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise ModelError(f"The file that the converter wrote cannot be read back: {said[0]}.")
    found: Dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found.update(json.loads(line))
    if merged is not None:
        config = json.loads((merged / "config.json").read_text(encoding="utf-8"))
        found["expected_layers"] = config.get("num_hidden_layers") or config.get("n_layer")
    return found


def _matrix(merged: Path) -> Optional[List[str]]:
    """File and name of a matrix that llama.cpp stores as it is (queries and keys it reorders), and its name there."""
    from safetensors import safe_open

    for path in sorted(merged.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118  (it is no mapping)
                if name.endswith("layers.0.mlp.down_proj.weight"):
                    return [str(path), name, "blk.0.ffn_down.weight"]
    return None


def _problems(checks: Dict[str, Any], lora: bool) -> List[str]:
    problems = []
    if not checks["tensors"]:
        problems.append("The file holds no tensor.")
    if lora:
        return (
            problems if checks["kind"] == "adapter" else [*problems, "The file is not marked as an adapter."]
        )
    if checks["eos"] is None:
        problems.append("The file names no end token, so answers would never end.")
    if checks.get("expected_layers") not in (None, checks["layers"]):
        problems.append(f"The file has {checks['layers']} layers, and the model {checks['expected_layers']}.")
    if checks.get("equal") is False:
        problems.append("A matrix in the file is not that of the merged model.")
    return problems


def _put(partial: Path, out: Path) -> None:
    from envdoc.train import checkpoint

    try:
        checkpoint.flush(partial)
        shutil.move(str(partial), str(out))
        checkpoint.flush(out.absolute().parent)
    except OSError as error:
        raise SaveError(f"`{out}` could not be written: {checkpoint.reason(error)}.") from None
