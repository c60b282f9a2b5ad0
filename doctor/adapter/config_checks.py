"""adapter_config.json against the tensors, and against the peft that would read it."""

import re
from typing import Any, Collection, FrozenSet, List, Mapping, Optional, Sequence

from envdoc.doctor.adapter.names import pairs, parse
from envdoc.doctor.adapter.verdict import Check
from envdoc.doctor.weights.archive import Archive

# GPT-2's and its kin's Conv1D, whose weights are stored (in, out): all that fan_in_fan_out is for.
CONV1D = ("c_attn", "c_proj", "c_fc", "q_attn")
KINDS = (
    "LORA",
    "ADALORA",
    "PREFIX_TUNING",
    "P_TUNING",
    "PROMPT_TUNING",
    "IA3",
    "LOHA",
    "LOKR",
    "OFT",
    "BOFT",
    "VERA",
)

Config = Mapping[str, Any]


def rank_of(module: str, config: Optional[Config]) -> Optional[int]:
    """The rank that the config gives that layer: by rank_pattern, else r. None where it does not tell."""
    if config is None or config.get("target_parameters"):  # experts share one tensor, of r rows each
        return None
    pattern = config.get("rank_pattern")
    for key, value in pattern.items() if isinstance(pattern, dict) else ():
        if _matches(str(key), module):
            return value if type(value) is int else None
    r = config.get("r")
    return r if type(r) is int else None


def _matches(key: str, module: str) -> bool:
    """peft: the key is a regular expression for the end of the module's name, behind a dot or at its start."""
    try:
        return re.fullmatch(rf"(.*\.)?({key})", module) is not None or module.endswith("." + key)
    except re.error:
        return module.endswith(key)


def check_config(
    config: Optional[Config],
    problem: str,
    main: Optional[Archive],
    known: Optional[FrozenSet[str]],
    tolerant: bool,
    peft: Optional[str],
    origin: str,
) -> List[Check]:
    """The checks of adapter_config.json. `known` are the keys that the installed peft reads, None for not known;
    `tolerant` where it passes over others with a warning."""
    file = "adapter_config.json"
    if problem:
        return [Check("config", False, f"{file} cannot be read: {problem}", file)]
    if config is None:
        return [Check("config", False, f"there is no {file}, so that no library can load it", file)]
    if origin == "MLX":
        return [Check("config", True, "it is MLX's, with its own keys", file)]
    checks = _values(config, file)
    if known is not None and peft is not None:
        checks.append(_unknown(config, known, tolerant, peft, file))
    if main is not None and main.tensors and str(config.get("peft_type", "LORA")).upper() == "LORA":
        checks += _targets(config, list(main.tensors), file)
    return checks


def _values(config: Config, file: str) -> List[Check]:
    kind = config.get("peft_type")
    if not isinstance(kind, str):
        return [Check("config", False, "it has no peft_type, and PeftConfig.from_pretrained fails", file)]
    if kind.upper() != "LORA":
        return [Check("config", True, f"a {kind} adapter", file)]
    r, alpha = config.get("r"), config.get("lora_alpha")
    if type(r) is not int or r < 1:
        return [Check("config", False, f"its rank r is {r!r}, and no layer is made of that", file)]
    if alpha is None or not isinstance(alpha, (int, float)):
        return [Check("config", False, f"its lora_alpha is {alpha!r}, by which peft cannot divide", file)]
    if alpha == 0:
        return [Check("config", False, "its lora_alpha is 0, so that the adapter is multiplied with 0", file)]
    scale = alpha / (r**0.5 if config.get("use_rslora") else r)
    checks = [Check("config", True, f"LoRA of rank {r}, alpha {alpha:g} (scale {scale:g})", file)]
    targets = config.get("target_modules")
    listed = [str(one) for one in targets] if isinstance(targets, list) else []
    if config.get("fan_in_fan_out") and listed and not any(one.split(".")[-1] in CONV1D for one in listed):
        told = (
            f"fan_in_fan_out is set, and {listed[0]} is no Conv1D: it is for GPT-2's {', '.join(CONV1D[:2])}"
        )
        checks.append(Check("fan_in_fan_out", False, told + " (huggingface/peft#324)", file, False))
    if config.get("enable_lora"):
        told = (
            "enable_lora is peft's below 0.3, whose MergedLinear no later peft loads (huggingface/peft#324)"
        )
        checks.append(Check("fan_in_fan_out", False, told, file))
    if not config.get("base_model_name_or_path"):
        checks.append(Check("base", False, "it names no base model", file, False))
    else:
        checks.append(Check("base", True, f"its base model is {config['base_model_name_or_path']}", file))
    return checks


def _unknown(config: Config, known: Collection[str], tolerant: bool, peft: str, file: str) -> Check:
    """Keys that a newer peft has written: an error for an older one (run: peft 0.10.0), a warning for a newer."""
    strange = sorted(set(config) - set(known))
    if not strange:
        return Check("peft keys", True, f"peft {peft} knows all of its {len(config)} keys", file)
    told = f"peft {peft} does not know {', '.join(strange[:4])}{' and others' if len(strange) > 4 else ''}"
    told += ", and passes over them" if tolerant else ": LoraConfig got an unexpected keyword argument"
    return Check("peft keys", False, told, file, grave=not tolerant)


def _targets(config: Config, names: Sequence[str], file: str) -> List[Check]:
    """target_modules and modules_to_save against the layers that the file has."""
    modules = sorted({module for module, _ in pairs(names)})
    checks = []
    targets = config.get("target_modules")
    if modules and isinstance(targets, list) and not config.get("target_parameters"):
        wanted = [str(one) for one in targets]
        missing = [one for one in wanted if not any(_is_target(module, one) for module in modules)]
        loose = [module for module in modules if not any(_is_target(module, one) for one in wanted)]
        if loose:
            told = (
                f"{len(loose)} of {len(modules)} layers are no target_modules, and are not loaded: {loose[0]}"
            )
            checks.append(Check("targets", False, told, file))
        elif missing:
            told = f"no layer of the file is a {missing[0]}, which target_modules names"
            checks.append(Check("targets", False, told, file, False))
        else:
            told = f"{len(modules)} layers, all among target_modules ({', '.join(sorted(wanted)[:6])})"
            checks.append(Check("targets", True, told, file))
    saved = config.get("modules_to_save")
    if isinstance(saved, list) and saved:
        whole = [parse(name).module for name in names if not parse(name).part]
        lost = [str(one) for one in saved if not any(_is_target(module, str(one)) for module in whole)]
        told = f"modules_to_save names {lost[0]}, of which no tensor is in the file" if lost else "all there"
        checks.append(Check("modules_to_save", not lost, told, file))
    return checks


def _is_target(module: str, target: str) -> bool:
    return module == target or module.endswith("." + target)
