"""Is an adapter real? Its file is read again and each thing that has gone wrong for people is looked at by itself.

An adapter that is empty (alpaca-lora #293), saved under keys that load nowhere, never updated, all NaN, or stale
beside a newer file still loads without an error and leaves the base as it was. Every check here says what it saw
as a number, and an adapter is real only where none fails.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from envdoc.train import glm, witness
from envdoc.train.checkpoint import ADAPTER_FILE
from envdoc.train.errors import AdapterError
from envdoc.train.fingerprint import adapter_sha256, base_fingerprint, file_sha256
from envdoc.train.model import ADAPTER
from envdoc.train.told import CONFIG_FILE, Told

OLD_FILE = "adapter_model.bin"  # what peft below 0.7 wrote, and what old scripts still read
REREAD = "reread"
PROBE_TOKENS = 64

Tensors = Dict[str, torch.Tensor]


@dataclass(frozen=True)
class Check:
    """One thing looked at. `ok` is None where it could not be looked at, which `detail` then explains."""

    name: str
    ok: Optional[bool]
    detail: str

    def line(self) -> str:
        """The check as one line of text."""
        return f"{'ok  ' if self.ok else 'FAIL' if self.ok is False else '-   '} {self.name}: {self.detail}"


@dataclass(frozen=True)
class Proof:
    """Every check of one adapter."""

    checks: Tuple[Check, ...]

    @property
    def real(self) -> bool:
        """True where no check failed."""
        return all(check.ok is not False for check in self.checks)

    def to_json(self) -> List[Dict[str, Any]]:
        """The checks as JSON objects."""
        return [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in self.checks]


def adapter_tensors(model: Any, adapter: str = ADAPTER) -> Tensors:
    """The adapter's weights in memory under the names that a file must have, read off the modules themselves.

    Not by peft's get_peft_model_state_dict: when that returned nothing (peft 0.3 to 0.19 under a `state_dict`
    override), memory and file agreed on being empty.
    """
    tensors = {}
    for name, parameter in model.named_parameters():
        if f".{adapter}" not in name or not (".lora_" in name or ".modules_to_save." in name):
            continue
        name = name.replace(f".modules_to_save.{adapter}", "").replace(f".{adapter}", "")
        if name.endswith("lora_magnitude_vector.weight"):  # DoRA's vector is saved without it
            name = name[: -len(".weight")]
        tensors[name] = parameter.detach()
    return tensors


def prove_saved(model: Any, folder: Path, probe: Sequence[int]) -> Tuple[Proof, Optional[Dict[str, Any]]]:
    """Just after training: the file against the weights in memory, and the file's output against theirs.

    With it comes what the trained model answered to the probe (witness.py), where the file is what it should be.
    """
    from peft import set_peft_model_state_dict

    memory = adapter_tensors(model)
    checks, tensors = check_file(folder, memory)
    if tensors is not None:
        checks.append(
            _equal("hash", adapter_sha256(tensors), adapter_sha256(memory), "the weights in memory")
        )
    if tensors is None or not all(check.ok is not False for check in checks):
        checks.append(Check("output", None, "not compared, since the file is not what it should be"))
        return Proof(tuple(checks)), None
    model.eval()
    model.load_adapter(str(folder), adapter_name=REREAD)
    # peft 0.13 rounds what it loads to the base's dtype before it casts it to fp32; what is judged is the file.
    set_peft_model_state_dict(model, tensors, adapter_name=REREAD)
    trained = logits(model, probe)
    model.set_adapter(REREAD)
    again = logits(model, probe)
    with model.disable_adapter():
        plain = logits(model, probe)
    model.set_adapter(ADAPTER)
    model.delete_adapter(REREAD)
    apart, moved = float((trained - again).abs().max()), float((trained - plain).abs().max())
    # 0 wherever kernels are deterministic; a hundredth of the adapter's own effect leaves no doubt anywhere.
    told = f"output from disk and from memory differ by {apart:.3g}; the adapter's own effect is {moved:.4g}"
    checks.append(Check("reload", apart <= 0.01 * moved, told))
    checks.append(_differs(again, plain))
    return Proof(tuple(checks)), witness.take(trained, plain)


def prove_folder(
    folder: Path, base: Any, told: Optional[Told], base_folder: Path, place: Mapping[str, Any]
) -> Proof:
    """Later: the file against the adapter that its config describes on this base, and against what lies beside it.

    `place` says on what the base computes (witness.py).

    Raises AdapterError where the config is none that this peft can lay on the base.
    """
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict

    try:
        config = PeftConfig.from_pretrained(str(folder))
        model = get_peft_model(base, config)
    except (
        Exception
    ) as error:  # TypeError for keys of a newer peft, ValueError for targets that are not there
        raise AdapterError(
            f"`{folder}/{CONFIG_FILE}` describes no adapter that this peft can lay on `{base_folder}`: {error}.",
            "Was it trained on another base, or saved by a newer peft?",
        ) from None
    if str(getattr(config.peft_type, "value", config.peft_type)) != "LORA":
        raise AdapterError(f"`{folder}` holds a {config.peft_type} adapter; only LoRA can be judged.")
    checks, tensors = check_file(folder, adapter_tensors(model))
    probe = _probe(told, base)
    checks += _against(told, folder, tensors, base_folder)
    named_right = all(check.ok is not False for check in checks if check.name in ("names", "shapes", "keys"))
    if tensors is None or not named_right:
        checks.append(Check("output", None, "not compared, since the file's tensors are not the adapter's"))
        return Proof(tuple(checks))
    model.eval()
    set_peft_model_state_dict(model, tensors)
    adapted = logits(model, probe)
    with model.disable_adapter():
        plain = logits(model, probe)
    if told is not None and told.witness is not None:
        checks.append(Check("trained model", *witness.compare(told.witness, place, adapted, plain)))
    checks.append(_differs(adapted, plain))
    return Proof(tuple(checks))


def _against(
    told: Optional[Told], folder: Path, tensors: Optional[Tensors], base_folder: Path
) -> List[Check]:
    """The file and the base against the hashes that lie beside the adapter."""
    if told is None:
        return [Check("receipt", None, "there is none beside the adapter, so no hash can be compared")]
    checks = []
    if tensors is not None:
        if told.sha256 is not None:
            checks.append(_equal("hash", adapter_sha256(tensors), told.sha256, told.of))
        checks.append(_equal("file hash", file_sha256(folder / ADAPTER_FILE), told.file_sha256, told.of))
    return [*checks, _equal("base model", base_fingerprint(base_folder), told.fingerprint, told.of)]


def check_file(folder: Path, expected: Mapping[str, torch.Tensor]) -> Tuple[List[Check], Optional[Tensors]]:
    """The checks that need no forward pass, and the tensors where the file could be read."""
    try:
        tensors = read_tensors(folder)
    except (OSError, ValueError) as error:
        return [Check("file", False, f"{ADAPTER_FILE} cannot be read: {error}")], None
    numbers = sum(tensor.numel() for tensor in tensors.values())
    size = (folder / ADAPTER_FILE).stat().st_size
    checks = [Check("file", True, f"{len(tensors)} tensors, {numbers:,} numbers, {size:,} bytes")]

    named = sorted(name for name in tensors if f".{ADAPTER}." in name)
    checks.append(
        Check(
            "keys",
            not named,
            f"{len(named)} of {len(tensors)} names hold `.{ADAPTER}.`, and would load nowhere"
            + (f": {named[0]}" if named else ""),
        )
    )
    missing = sorted(set(expected) - set(tensors))
    strange = sorted(set(tensors) - set(expected))
    told = f"{len(set(expected) & set(tensors))} of {len(expected)} expected tensors are there"
    told += f"; missing, for one: {missing[0]}" if missing else ""
    told += f"; {len(strange)} unexpected, for one: {strange[0]}" if strange else ""
    checks.append(Check("names", bool(expected) and not missing and not strange, told))

    wrong = [
        f"{name} is {list(tensors[name].shape)} and should be {list(expected[name].shape)}"
        for name in sorted(set(expected) & set(tensors))
        if tensors[name].shape != expected[name].shape
    ]
    checks.append(
        Check(
            "shapes", not wrong, f"{len(wrong)} of {len(tensors)} differ" + (f": {wrong[0]}" if wrong else "")
        )
    )
    broken = sum(int((~torch.isfinite(tensor)).sum()) for tensor in tensors.values())
    checks.append(Check("finite", broken == 0, f"{broken:,} of {numbers:,} numbers are NaN or infinite"))

    seconds = [name for name in tensors if "lora_B" in name]
    zero = [name for name in seconds if not bool(tensors[name].any())]
    checks.append(
        Check(
            "lora_B",
            bool(seconds) and not zero,
            f"{len(seconds) - len(zero)} of {len(seconds)} were moved from zero"
            + (f"; untrained, for one: {sorted(zero)[0]}" if zero else ""),
        )
    )
    stale = (folder / OLD_FILE).exists()
    checks.append(
        Check(
            "old file", not stale, f"{int(stale)} {OLD_FILE} lies beside {ADAPTER_FILE}, and would be stale"
        )
    )
    return checks, tensors


def read_tensors(folder: Path) -> Tensors:
    """The tensors of the adapter's file. Raises OSError or ValueError where it is missing or broken."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / ADAPTER_FILE
    if not path.is_file():
        other = f" ({OLD_FILE} is, which peft below 0.7 wrote)" if (folder / OLD_FILE).exists() else ""
        raise ValueError(f"it is not there{other}")
    try:
        return dict(load_file(str(path)))
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """The model's logits (length, vocabulary) in fp32 for one row of token ids."""
    device = next(model.parameters()).device
    with torch.no_grad():
        output = model(input_ids=torch.tensor([glm.probe(ids, model)], device=device))
    return output.logits[0].float()


def _probe(told: Optional[Told], base: Any) -> List[int]:
    """The row that the receipt tells, or else ids spread over the vocabulary: a foreign adapter has no row."""
    if told is not None and told.probe:
        return told.probe
    vocabulary = base.get_input_embeddings().weight.shape[0]
    return [(7919 * place) % vocabulary for place in range(1, 33)]


def _equal(name: str, found: str, expected: str, of: str) -> Check:
    if found == expected:
        return Check(name, True, f"{found} equals that of {of}")
    return Check(name, False, f"{found} is not that of {of}, {expected}")


def _differs(adapted: torch.Tensor, plain: torch.Tensor) -> Check:
    apart = float((adapted - plain).abs().max())
    finite = bool(torch.isfinite(adapted).all())
    return Check(
        "output",
        finite and apart > 0.0,
        f"with and without the adapter it differs by up to {apart:.4g} in a logit"
        + ("" if finite else ", and is not finite"),
    )
