"""`envdoc merge`: the adapter added into 16-bit weights, as a model folder that needs no peft.

Into the unquantised weights always: merging into 4-bit ones rounds the adapter away (peft #2321, #1043). Each matrix is
added up in fp32 and rounded once. Then the folder is loaded again from the disk, and its answers are held against those
of base and adapter side by side: 16 bits can be too few for an adapter that moved its base a little.
"""

import datetime
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from envdoc.train import laid
from envdoc.train.errors import AdapterError, ConfigError, SaveError
from envdoc.train.laid import Named
from envdoc.train.libraries import load_libraries
from envdoc.train.progress import say

RECEIPT = "envdoc-merge.json"
SHARD_SIZE = "4GB"
# Copied as they are: saved anew by another transformers they change, and llama.cpp's converter knows a tokenizer by
# its bytes, so to speak: by how it splits a text that holds every trap.
DESCRIPTION = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "*.jinja",
    "generation_config.json",
    "*.py",
)
LOST = 0.5  # of the adapter's own effect: beyond it the merged model answers more like its base


@dataclass(frozen=True)
class Differences:
    """The largest differences between logits, over the same rows."""

    merged: float  # the merged model, read from the disk, against base and adapter side by side
    effect: float  # base and adapter against the base alone
    trained: Optional[float]  # the merged model against what the receipt holds of the trained one

    @property
    def kept(self) -> bool:
        """Whether the merged model answers as the adapted one."""
        return self.merged <= LOST * self.effect


def merge(adapter: Path, out: Path, base: Optional[str], dtype: str) -> int:
    """Write the merged model to `out`; 0 where it answers as the adapted one, else 1. Raises TrainError."""
    refuse_what_is_there(out)
    named = laid.find(adapter, base)
    load_libraries()
    made, differences = write(named, out, dtype)
    for line in lines(named, out, made, differences):
        print(line)
    return 0 if differences.kept else 1


def refuse_what_is_there(out: Path) -> None:
    """Raises ConfigError where something would be lost."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(f"`{out}` is there already.", "Name a new folder, or remove that one first.")


def write(named: Named, out: Path, dtype: str) -> Tuple[Dict[str, Any], Differences]:
    """The merged model in `out`, whole or not at all; its receipt, how its answers differ. Raises TrainError."""
    import torch

    from envdoc.train import checkpoint
    from envdoc.train import model as models
    from envdoc.train.verify import logits

    chosen = sixteen_bits(named.base) if dtype == "auto" else dtype
    _refuse_tied(named)
    needed = _bytes_needed(named.base, chosen)
    _refuse_full_disk(out, needed)
    precision = models.Precision(
        torch.device("cpu"), chosen
    )  # fits beside a GPU in use, and into most machines
    model = laid.unquantised(named, chosen)
    say(f"Loading {named.base} in {chosen}, unquantised ...")
    adapted = laid.lay(named, models.load_base(named.base, model, precision))
    rows = _rows(named, laid.load_tokenizer(named))
    with adapted.disable_adapter():
        plain = [logits(adapted, row) for row in rows]
    beside = [logits(adapted, row) for row in rows]
    say("Merging ...")
    merged = add_up(adapted, precision.torch_dtype)
    partial = out.with_name(f"{checkpoint.PARTIAL}{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        merged.save_pretrained(str(partial), safe_serialization=True, max_shard_size=SHARD_SIZE)
        describe(named, partial, chosen)
        del adapted, merged
        say("Reading it back from the disk ...")
        again = models.load_base(partial, model, precision).eval()
        read = [logits(again, row) for row in rows]
        differences = Differences(_apart(read, beside), _apart(beside, plain), _from_trained(named, read[0]))
        parameters = sum(parameter.numel() for parameter in again.parameters())
        made = _receipt(named, partial, chosen, parameters, differences)
        (partial / RECEIPT).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        for path in partial.iterdir():
            checkpoint.flush(path)
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.is_dir():
            out.rmdir()  # empty, as was looked at
        partial.rename(out)
        checkpoint.flush(out.parent)
    except OSError as error:
        raise SaveError(
            f"The merged model could not be written to `{out}`: {checkpoint.reason(error)}.",
            "Nothing is left of it; the adapter and its base are as they were.",
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made, differences


def add_up(adapted: Any, dtype: Any) -> Any:
    """The base with the adapter added into each matrix: in fp32 by peft's own code, then rounded once.

    Raises AdapterError where a merged weight is no number.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in adapted.named_modules():
        if not isinstance(layer, BaseTunerLayer):
            continue
        weight = layer.get_base_layer().weight
        weight.data = weight.data.float()
        for parameter in layer.parameters():
            parameter.data = parameter.data.float()
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise AdapterError(f"`{name}` cannot be merged: {error}.") from None
        for parameter in layer.get_base_layer().parameters():
            parameter.data = parameter.data.to(dtype)
    return adapted.unload()


def describe(named: Named, folder: Path, dtype: str) -> None:
    """Lay the base's own description beside the merged weights: every file as it is, the dtype in config.json apart."""
    for pattern in DESCRIPTION:
        for path in named.base.glob(pattern):
            if path.is_file():
                shutil.copyfile(str(path), str(folder / path.name))
    for path in named.adapter.glob("*.jinja"):  # the template that was trained with, where it is another
        shutil.copyfile(str(path), str(folder / path.name))
    config = json.loads((named.base / "config.json").read_text(encoding="utf-8"))
    key = "dtype" if "dtype" in config else "torch_dtype"  # before transformers 4.56 the second
    config[key] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}[dtype]
    (folder / "config.json").write_text(
        json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def sixteen_bits(base: Path) -> str:
    """The dtype of the base's own weights where that has 16 bits, else bf16, which has fp32's range."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    told = config.get("dtype") or config.get("torch_dtype")
    return "fp16" if told == "float16" else "bf16"


def lines(named: Named, out: Path, made: Dict[str, Any], differences: Differences) -> List[str]:
    """What was done and seen, in words."""
    told = [
        f"Merged    {made['parameters']:,} parameters in {made['dtype']}, {made['bytes']:,} bytes.",
        f"Logits    merged, read back from the disk, and base with adapter differ by up to {differences.merged:.4g}; "
        f"the adapter's own effect is {differences.effect:.4g}.",
    ]
    if differences.trained is not None:
        base = "" if named.model.quantization == "none" else f" (base in {named.model.quantization})"
        told.append(
            f"          The model as trained{base} and the merged one differ by up to "
            f"{differences.trained:.4g} in the logits that its receipt holds."
        )
    if differences.kept:
        return [*told, f"Model: {out} (with its receipt, {RECEIPT}); it needs no peft."]
    return [
        *told,
        f"The model in `{out}` is NOT the trained one: {made['dtype']} rounds too much of the adapter away. "
        "Use `--dtype fp16` or fp32, or keep the adapter beside its base.",
    ]


def _rows(named: Named, tokenizer: Any) -> List[List[int]]:
    """The row of the receipt, and a text in several scripts: ids of this tokenizer."""
    text = "The quick brown fox: 0123456789, \u4f60\u597d\uff0c\u4e16\u754c. \u041f\u0440\u0438\u0432\u0435\u0442!"
    probe = list(named.told.probe) if named.told and named.told.probe else []
    spread = list(tokenizer(text)["input_ids"])
    return [row for row in (probe, spread) if row]


def _apart(some: Sequence[Any], others: Sequence[Any]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(some, others))


def _from_trained(named: Named, read: Any) -> Optional[float]:
    """The distance of the merged model's logits from those few that the receipt holds of the trained model."""
    if named.told is None or named.told.witness is None or not named.told.probe:
        return None
    apart = [
        (read[row["position"], row["ids"]] - read.new_tensor(row["logits"])).abs().max()
        for row in named.told.witness["rows"]
    ]
    return max(float(value) for value in apart)


def _receipt(
    named: Named, folder: Path, dtype: str, parameters: int, differences: Differences
) -> Dict[str, Any]:
    from envdoc.train.fingerprint import base_fingerprint, file_sha256

    files = sorted(folder.glob("*.safetensors"))
    return {
        "schema_version": 1,
        "made_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "dtype": dtype,
        "parameters": parameters,
        "bytes": sum(path.stat().st_size for path in files),
        "base": {"fingerprint": base_fingerprint(named.base)},
        "adapter": {"file_sha256": named.told.file_sha256 if named.told else None},
        "largest_difference_of_logits": {
            "merged_and_adapted": differences.merged,
            "adapted_and_base": differences.effect,
            "merged_and_trained": differences.trained,
        },
        "kept": differences.kept,
        "files": {path.name: file_sha256(path) for path in files},
    }


def _refuse_tied(named: Named) -> None:
    """Raises AdapterError where the change of one matrix would change another, which no adapter did in training."""
    config = json.loads((named.base / "config.json").read_text(encoding="utf-8"))
    tied = config.get("tie_word_embeddings", False)
    heads = [
        name
        for name in named.targets
        if name.split(".")[-1] in ("lm_head", "embed_tokens", "wte", "embed_out")
    ]
    if tied and heads:
        raise AdapterError(
            f"The adapter changes `{heads[0]}`, and its base keeps one matrix for the embeddings and the output: "
            "merged, both would change.",
            "Keep the adapter beside its base.",
        )


def _bytes_needed(base: Path, dtype: str) -> int:
    """What the merged weights take: as many as the base's, in 2 or 4 bytes each."""
    from envdoc.train.fingerprint import WEIGHTS

    stored = sum(path.stat().st_size for path in base.iterdir() if path.suffix in WEIGHTS)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    was = 4 if (config.get("dtype") or config.get("torch_dtype") or "float32") == "float32" else 2
    return stored * (4 if dtype == "fp32" else 2) // was


def _refuse_full_disk(out: Path, needed: int) -> None:
    place = out.absolute().parent
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(str(place)).free
    if free < needed:
        raise SaveError(
            f"The merged model takes {needed / 1e9:.1f} GB, and `{place}` has {free / 1e9:.1f} GB free.",
            "Make room, or name a folder on another disk.",
        )
