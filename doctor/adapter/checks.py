"""The checks of one file of weights: what people have lost adapters to, each looked at by itself.

tloen/alpaca-lora#293 (no tensor, or names that load nowhere), huggingface/peft#286; lora_B that is all zero is what
peft begins with, so it was never trained or never saved; a NaN spoils every answer.
"""

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.adapter.names import PREFIX, layer, pairs, parse
from envdoc.doctor.adapter.verdict import Check
from envdoc.doctor.tables.pickle_names import dangerous
from envdoc.doctor.tables.versions import satisfies
from envdoc.doctor.weights.archive import Archive, Tensor
from envdoc.doctor.weights.numbers import Seen, look

NESTED = "<0.21.0"  # run on both sides: below, such names load nothing; from 0.21.0 on they do
Config = Mapping[str, Any]


def check_archive(
    archive: Archive, config: Optional[Config], peft: Optional[str], origin: str
) -> List[Check]:
    """Every check of one file. `peft` is the version that would load it, None where that is not known."""
    checks = [_file(archive)]
    file = archive.path.name
    checks += _foreign(archive)
    if archive.problem:
        return [_in(check, file) for check in checks]
    if not archive.tensors:
        return [_in(check, file) for check in checks]
    kind = str((config or {}).get("peft_type") or "LORA").upper()
    names = list(archive.tensors)
    checks += _keys(names, peft, kind, origin)
    try:
        seen = {name: look(tensor) for name, tensor in archive.tensors.items()}
    except (OSError, ValueError) as error:
        checks.append(Check("finite", False, f"its numbers cannot be read: {error}"))
        return [_in(check, file) for check in checks]
    checks.append(_finite(seen))
    if kind == "LORA":
        found = pairs(names)
        checks.append(_pairs(found, names))
        checks += _shapes(archive.tensors, found, config)
        checks.append(_trained(found, seen))
    elif all(one.is_zero for one in seen.values()):
        checks.append(Check("trained", False, f"every number of its {len(seen)} tensors is 0"))
    else:
        checks.append(
            Check("trained", None, f"it is a {kind} adapter, of which only its numbers were looked at")
        )
    if kind == "LORA":
        checks += _whole_tensors(archive.tensors, config)
    return [_in(check, file) for check in checks]


def _in(check: Check, file: str) -> Check:
    return Check(check.name, check.ok, check.detail, file, check.grave)


def _file(archive: Archive) -> Check:
    name = archive.path.name
    if archive.problem:
        return Check("file", False, f"{name}: {archive.problem}")
    if archive.faults:
        more = f", and {len(archive.faults) - 1} faults more" if len(archive.faults) > 1 else ""
        return Check("file", False, f"{name} is broken: {archive.faults[0]}{more}")
    numbers = sum(tensor.count for tensor in archive.tensors.values())
    told = f"{name}: {len(archive.tensors)} tensors, {numbers:,} numbers, {archive.bytes:,} bytes"
    if not archive.tensors:
        told += "; it is empty, as a `state_dict` override leaves it (tloen/alpaca-lora#293)"
    return Check("file", bool(archive.tensors), told)


def _foreign(archive: Archive) -> List[Check]:
    """What a pickle would import beside what tensors need."""
    if archive.form != "pickle":
        return []
    if not archive.foreign:
        return []
    bad = dangerous(archive.foreign)
    told = f"its pickle names {', '.join((bad or list(archive.foreign))[:3])}, which no tensor needs"
    told += "; do not load it with torch.load below 2.6" if bad else "; `weights_only` refuses to load it"
    return [Check("pickle", False, told, grave=bool(bad))]


def _keys(names: Sequence[str], peft: Optional[str], kind: str, origin: str) -> List[Check]:
    """The names as peft would look for them."""
    if origin == "MLX":
        words = f"{len(names)} names are MLX's, which peft does not load; mlx_lm does"
        return [Check("keys", False, words, grave=False)]
    told = {name: parse(name) for name in names}
    named = [name for name in names if told[name].adapter]
    compiled = [name for name in names if told[name].compiled]
    bare = [name for name in names if not told[name].has_prefix and told[name].part]
    checks = []
    if named:
        spared = peft is not None and not satisfies(peft, NESTED)
        words = (
            f"{len(named)} of {len(names)} names hold the adapter's own name `.{told[named[0]].adapter}.`: "
        )
        words += (
            f"peft {peft}, which is installed here, loads them, and peft below 0.21 loads nothing"
            if spared
            else "peft below 0.21 loads nothing from them, and the model stays its base"
        )
        checks.append(Check("keys", False, f"{words}; for one: {named[0]}"))
    if compiled:
        words = f"{len(compiled)} of {len(names)} names hold torch.compile's `_orig_mod.`, which a model that is not"
        checks.append(Check("keys", False, f"{words} compiled does not have; for one: {compiled[0]}"))
    if bare and kind == "LORA":
        words = f"{len(bare)} of {len(names)} names do not begin with `{PREFIX}`, and load nowhere"
        checks.append(Check("keys", False, f"{words}; for one: {bare[0]}"))
    strange = [name for name in names if name.startswith(("module.", "_fsdp_wrapped_module."))]
    if strange and not bare:
        words = (
            f"{len(strange)} of {len(names)} names carry the wrapper of DDP or FSDP; for one: {strange[0]}"
        )
        checks.append(Check("keys", False, words))
    return checks or [Check("keys", True, f"{len(names)} names are as peft saves them")]


def _finite(seen: Mapping[str, Seen]) -> Check:
    broken = {name: one.not_finite for name, one in seen.items() if one.not_finite}
    total = sum(one.count for one in seen.values())
    told = f"{sum(broken.values()):,} of {total:,} numbers are NaN or infinite"
    return Check("finite", not broken, told + (f"; for one in {sorted(broken)[0]}" if broken else ""))


def _pairs(found: Mapping[Tuple[str, str], Mapping[str, str]], names: Sequence[str]) -> Check:
    if not found:
        return Check(
            "pairs", False, f"none of its {len(names)} tensors is a lora_A or lora_B; for one: {names[0]}"
        )
    single = [
        f"{module} has no lora_{'B' if 'A' in parts else 'A'}"
        for (module, _), parts in sorted(found.items())
        if not {"A", "B"} <= set(parts)
    ]
    told = f"{len(found) - len(single)} of {len(found)} layers have both lora_A and lora_B"
    numbers = (layer(module) for module, _ in found)
    layers = sorted({number for number in numbers if number is not None})
    holes = sorted(set(range(layers[0], layers[-1] + 1)) - set(layers)) if layers else []
    if single:
        return Check("pairs", False, f"{told}; {single[0]}")
    return Check("pairs", True, told + (f"; none in layer {holes[0]}" if holes else ""))


def _shapes(
    tensors: Mapping[str, Tensor],
    found: Mapping[Tuple[str, str], Mapping[str, str]],
    config: Optional[Config],
) -> List[Check]:
    """lora_A is (r, in) and lora_B (out, r), with the r of adapter_config.json or of its rank_pattern."""
    from envdoc.doctor.adapter.config_checks import rank_of

    wrong, told = [], 0
    ranks = set()
    for (module, kind), parts in sorted(found.items()):
        if not {"A", "B"} <= set(parts):
            continue
        one, other = tensors[parts["A"]].shape, tensors[parts["B"]].shape
        if kind == "mlx":
            one, other = tuple(reversed(one)), tuple(reversed(other))
        if len(one) < 2 or len(other) < 2:
            wrong.append(f"lora_A of {module} is {list(one)} and lora_B {list(other)}")
            continue
        told += 1
        ranks.add(one[0])
        expected = rank_of(module, config)
        merged = bool((config or {}).get("enable_lora"))  # peft below 0.3: q, k and v in one lora_A
        if other[1] != one[0] and not merged:
            wrong.append(f"lora_A of {module} is {list(one)} and lora_B {list(other)}: the ranks differ")
        elif expected is not None and one[0] != expected and not merged and kind != "mlx":
            wrong.append(f"lora_A of {module} has rank {one[0]}, and {expected} by adapter_config.json")
    if wrong:
        return [Check("shapes", False, f"{len(wrong)} of {told or len(wrong)} layers do not fit: {wrong[0]}")]
    if not told:
        return []
    text = ", ".join(map(str, sorted(ranks)))
    return [
        Check(
            "shapes",
            True,
            f"{told} layers have rank {text}" + ("" if config else ", with no config to compare"),
        )
    ]


def _trained(found: Mapping[Tuple[str, str], Mapping[str, str]], seen: Mapping[str, Seen]) -> Check:
    """Whether any layer changes anything: lora_B times lora_A is 0 where either is."""
    both = {module: parts for (module, _), parts in found.items() if {"A", "B"} <= set(parts)}
    still = sorted(module for module, parts in both.items() if seen[parts["B"]].is_zero)
    dead = sorted(
        module for module, parts in both.items() if seen[parts["A"]].is_zero and module not in still
    )
    told = f"{len(both) - len(still)} of {len(both)} were moved from zero"
    if not both:
        return Check("lora_B", None, "no layer has both halves")
    if len(still) == len(both):
        told += ": every number is 0, as before the first step, so the model answers as its base"
        return Check("lora_B", False, told)
    if dead and len(dead) + len(still) == len(both):
        return Check("lora_B", False, "lora_A is all zero where lora_B is not, so the adapter does nothing")
    if still:
        return Check("lora_B", False, f"{told}; untrained, for one: {still[0]}", grave=False)
    return Check("lora_B", True, told)


def _whole_tensors(tensors: Mapping[str, Tensor], config: Optional[Config]) -> List[Check]:
    """Whole layers in the file: modules_to_save, and embeddings whose rows the base must have."""
    whole = {name: tensor for name, tensor in tensors.items() if not parse(name).part}
    if not whole:
        return []
    listed = (config or {}).get("modules_to_save")
    wanted = [str(name) for name in listed] if isinstance(listed, list) else []
    rows = {
        tensor.shape[0]
        for name, tensor in whole.items()
        if parse(name).module.rpartition(".")[2]
        in ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out")
        and len(tensor.shape) == 2
    }
    told = f"{len(whole)} whole tensors are in it"
    told += f", among them embeddings of {', '.join(f'{n:,}' for n in sorted(rows))} rows" if rows else ""
    told += ", which the base must have (resize_token_embeddings)" if rows else ""
    extra = (
        []
        if rows
        else [n for n in whole if not any(word in n for word in wanted) and parse(n).leaf != "bias"]
    )
    if config is not None and extra and str(config.get("bias", "none")) == "none":
        told += f"; {extra[0]} is no part of LoRA and of no module in modules_to_save"
        return [Check("whole layers", False, told, grave=False)]
    return [Check("whole layers", True, told)]
