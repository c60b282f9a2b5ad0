"""The reader of run files and of `key=value` words: typed, checked, every slip told in a sentence."""

import dataclasses
import difflib
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Literal,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
    get_args,
    get_type_hints,
)

from envdoc.train import clashes
from envdoc.train.config import PLAIN_STARTS, TRACKERS, Data, Eval, Lora, Run, Train, flat
from envdoc.train.errors import ConfigError

DEFAULT_FILE = Path(__file__).parent / "assets" / "default.yaml"
# `model: X` means `model.path: X`
SHORT = {
    "model": "model.path",
    "data": "data.path",
    "batch": "train.batch_size",
    "checkpointing": "train.gradient_checkpointing",
}

# Fields that are a number or a truth value, or one of a few words.
WITH_WORDS = (
    Data.__annotations__["packing"],
    *(
        Train.__annotations__[name]
        for name in ("batch_size", "gradient_checkpointing", "cuda_graphs", "workers")
    ),
)

# What a value must also satisfy: a test, and the words that say it.
RANGES: Dict[str, Tuple[Callable[[Any], bool], str]] = {
    "data.max_length": (lambda v: v >= 16, "at least 16"),
    "data.eval_fraction": (lambda v: 0 <= v <= 0.5, "from 0 to 0.5"),
    "lora.r": (lambda v: v >= 1, "at least 1"),
    "lora.alpha": (lambda v: v >= 1, "at least 1"),
    "lora.dropout": (lambda v: 0 <= v < 1, "from 0 to below 1"),
    "lora.init": (
        lambda v: v in PLAIN_STARTS or Lora(init=v).from_base,
        f"one of {', '.join(PLAIN_STARTS)}, pissa, pissa_niter_N (16 is usual), olora",
    ),
    "lora.plus_ratio": (lambda v: v == 0 or 1 <= v <= 1000, "0 (off), or from 1 to 1000"),
    "train.epochs": (lambda v: v >= 1, "at least 1"),
    "train.steps": (lambda v: v >= 0, "0 or more"),
    "train.batch_size": (lambda v: v == "auto" or v >= 1, "auto, or at least 1"),
    "train.accumulation": (lambda v: v >= 1, "at least 1"),
    "train.learning_rate": (lambda v: 0 < v < 10, "above 0 and below 10"),
    "train.warmup_fraction": (lambda v: 0 <= v < 1, "from 0 to below 1"),
    "train.min_lr_fraction": (lambda v: 0 <= v < 1, "from 0 to below 1"),
    "train.cycles": (lambda v: v >= 1, "at least 1"),
    "train.decay_fraction": (lambda v: 0 < v <= 1, "above 0 and up to 1"),
    "train.neftune_alpha": (lambda v: 0 <= v <= 100, "from 0 to 100"),
    "train.weight_decay": (lambda v: v >= 0, "0 or more"),
    "train.max_grad_norm": (lambda v: v >= 0, "0 or more"),
    "train.seed": (lambda v: 0 <= v < 2**32, "from 0 to 4294967295"),  # numpy's seeds are 32 bits
    "train.save_every": (lambda v: v >= 1, "at least 1"),
    "train.keep": (lambda v: v >= 1, "at least 1"),
    "train.log_every": (lambda v: v >= 1, "at least 1"),
    "train.workers": (lambda v: v == "auto" or 1 <= v <= 256, "auto, or from 1 to 256"),
    "eval.every": (lambda v: v >= 1, "at least 1"),
    "eval.batch_size": (lambda v: v >= 1, "at least 1"),
    "eval.patience": (lambda v: v >= 0, "0 or more"),
    "eval.sample_tokens": (lambda v: 1 <= v <= 4096, "from 1 to 4096"),
    "report.to": (lambda v: set(v) <= set(TRACKERS), f"none, or some of {', '.join(TRACKERS)}"),
    "parallel.join_seconds": (lambda v: v >= 1, "at least 1"),
}


def load(file: Optional[str], overrides: Sequence[str], here: bool = True) -> Tuple[Run, str]:
    """The run that `file` and `key=value` overrides describe, and a sentence part that says where it came from.

    Without a file: ./envdoc.yaml (unless `here` is false); else the built-in example, or, where `model` is replaced,
    the defaults above (the example's values suit only its tiny model). Raises ConfigError.
    """
    replaced = _overrides(overrides)
    if file is None and here and Path("envdoc.yaml").is_file():
        file = "envdoc.yaml"
    if file is not None:
        raw, source = _read_yaml(Path(file)), f"`{file}`"
    elif "model.path" in replaced:
        raw, source = {}, "the built-in defaults (no run file was given, and there is no ./envdoc.yaml)"
    else:
        raw, source = (
            _read_yaml(DEFAULT_FILE),
            "the built-in example (no run file was given, and there is no ./envdoc.yaml)",
        )
    in_file = _flatten(raw, file or DEFAULT_FILE.name)
    values = {**in_file, **replaced}
    if replaced:
        source += f", with {', '.join(sorted(replaced))} replaced"
    run = _build(Run, values, "")
    for key, value in flat(run).items():
        if key in RANGES and not RANGES[key][0](value):
            raise ConfigError(f"`{key}` must be {RANGES[key][1]}, and is {value}.")
    if run.name and (Path(run.name).name != run.name or run.name in (".", "..")):
        raise ConfigError(
            f"`name` must be a plain folder name, and is `{run.name}`.", "Use `output` for a path."
        )
    clashes.check(run, (set(in_file) - set(replaced), set(replaced)))
    return run, source


def _keys() -> List[str]:
    return list(flat(Run()))


def _read_yaml(path: Path) -> Dict[str, Any]:
    try:
        import yaml
    except ImportError:
        return _read_plainly(path)

    class Loader(yaml.SafeLoader):
        """SafeLoader, which takes the last of two equal keys without a word; this one refuses them."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Any, Any]:
            seen = set()
            for key_node, _ in node.value:
                if key_node.value in seen:
                    line = key_node.start_mark.line + 1
                    raise ConfigError(f"`{path}`, line {line}: the key `{key_node.value}` is there twice.")
                seen.add(key_node.value)
            return super().construct_mapping(node, deep)

    try:
        with path.open("rb") as stream:
            raw = yaml.load(stream, Loader=Loader)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no run file `{path}`.",
            "`envdoc train` alone uses ./envdoc.yaml, or else a built-in example.",
        ) from None
    except OSError as error:
        raise ConfigError(f"The run file `{path}` cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(
            f"`{path}`{where} is not valid YAML: {problem}.",
            "Keys end in a colon and a space; nested keys are indented by spaces, not tabs.",
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"The run file `{path}` is not UTF-8 text.") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ConfigError(f"`{path}` must hold keys and values, and holds a {type(raw).__name__}.")
    return raw


def _read_plainly(path: Path) -> Dict[str, Any]:
    """A run file by simple_yaml.py, where there is no PyYAML."""
    from envdoc.train import simple_yaml

    try:
        return simple_yaml.read(path, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no run file `{path}`.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The run file `{path}` cannot be read: {error}.") from None


def _flatten(raw: Mapping[Any, Any], where: str) -> Dict[str, Any]:
    values: Dict[str, Any] = {}
    sections = {key.split(".")[0] for key in _keys() if "." in key}
    for key, value in raw.items():
        if key in sections and isinstance(value, dict):
            for inner, content in value.items():
                values[_known(f"{key}.{inner}", where)] = content
        elif key in SHORT and (isinstance(value, str) or key not in sections):
            values[SHORT[key]] = value
        elif key in sections:
            raise ConfigError(f"In `{where}` the key `{key}` must hold keys of its own, and is `{value}`.")
        else:
            values[_known(str(key), where)] = value
    return values


def _overrides(words: Sequence[str]) -> Dict[str, Any]:
    values: Dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"`{word}` is no `key=value`.", "For example: `train.epochs=1`.")
        key = SHORT.get(key, key)
        values[_known(key, "the command line")] = value
    return values


def _known(key: str, where: str) -> str:
    known = _keys()
    if key in known:
        return key
    leaf = key.split(".")[-1]
    leaves = {
        name.split(".")[-1]: name for name in reversed(known)
    }  # of two equal words the earlier section's
    near = difflib.get_close_matches(key, known, 1, 0.6) if "." in key else []
    if leaf in leaves:  # the right word in the wrong place is the commonest slip
        near = [leaves[leaf]]
    sections = [] if "." in key else sorted({name.split(".")[0] for name in known if "." in name})
    if key in sections:
        own = ", ".join(name for name in known if name.startswith(f"{key}."))
        raise ConfigError(f"{where} sets `{key}`, which holds keys of its own.", f"They are: {own}.")
    alike = difflib.get_close_matches(leaf, [*leaves, *sections], 1, 0.6)
    near = near or [leaves.get(name, name) for name in alike]
    hint = f"Did you mean `{near[0]}`?" if near else f"The keys are: {', '.join(known)}."
    raise ConfigError(f"{where} has the unknown key `{key}`.", hint)


def _build(cls: Any, values: Mapping[str, Any], prefix: str) -> Any:
    hints = get_type_hints(cls)
    arguments = {}
    for item in dataclasses.fields(cls):
        key, hint = f"{prefix}{item.name}", hints[item.name]
        if dataclasses.is_dataclass(hint):
            arguments[item.name] = _build(hint, values, f"{key}.")
        elif key in values:
            arguments[item.name] = _typed(hint, values[key], key)
    return cls(**arguments)


def _words(value: Any) -> Optional[Tuple[str, ...]]:
    """A list of texts, or a text with commas, as a tuple; None where it is neither."""
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("[] ").split(",") if part.strip()]
    if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        return tuple(value)
    return None


def _typed(hint: Any, value: Any, key: str, instead: str = "") -> Any:
    """`value` as the field's type; `instead` says what else it may be. Text is read as a number or a truth value where
    the field is one: overrides are text, and YAML 1.1 takes `3e-4` for text."""
    if hint == Lora.__annotations__["targets"]:
        if value in ("auto", "all"):
            return value
        names = _words(value)
        if names:
            return names
        shown = [] if names == () else value
        raise ConfigError(f"`{key}` must be `auto`, `all` or a list of module names, and is `{shown}`.")
    if hint == Eval.__annotations__["samples"] and isinstance(value, str) and not value.startswith("["):
        return value
    if hint in (Eval.__annotations__["samples"], Tuple[str, ...]):
        names = () if value is None or value == "none" else _words(value)
        if names is not None:
            return names
        raise ConfigError(f"`{key}` must be a list of texts, and is `{value}`.")
    if getattr(hint, "__origin__", None) is Literal:
        if value in get_args(hint):
            return value
        near = difflib.get_close_matches(str(value), get_args(hint), 1, 0.5)
        raise ConfigError(
            f"`{key}` must be one of {', '.join(get_args(hint))}, and is `{value}`.",
            f"Did you mean `{near[0]}`?" if near else None,
        )
    if hint in WITH_WORDS:
        kind, words = get_args(hint)
        if value in get_args(words):
            return value
        return _typed(kind, value, key, f", or {' or '.join(get_args(words))}")
    if getattr(hint, "__origin__", None) is Union:  # Optional[str]
        return None if value is None or value == "" else _typed(get_args(hint)[0], value, key)
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]
    try:
        if hint is bool:
            return (
                value
                if isinstance(value, bool)
                else {"true": True, "false": False}[str(value).strip().lower()]
            )
        if hint is str and not isinstance(value, (dict, list, type(None))):
            return str(value)
        if hint is float and not isinstance(value, bool):
            return float(value)
        if hint is int and not isinstance(value, bool):
            number = float(value)
            if number == int(number):
                return int(number)
    except (ValueError, TypeError, KeyError, OverflowError):
        pass
    raise ConfigError(f"`{key}` must be {words}{instead}, and is `{value}`.")
