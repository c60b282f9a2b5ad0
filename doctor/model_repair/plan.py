"""What would be changed in which file, as text before and after. Reads; writes nothing.

Only what is certain is changed: the pieces and ids of tokenizer.model, the class's spelling, add_bos_token where no
file tells it. Where a vocabulary says something else the plan refuses, and says why.
"""

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.files import read_bytes
from envdoc.doctor.weights.sentencepiece import SentencePieceModel, parse

TOKENIZER, CONFIG = "tokenizer.model", "tokenizer_config.json"
MAP, MODEL, GENERATION = "special_tokens_map.json", "config.json", "generation_config.json"
ROLES = ("bos", "eos", "unk")
CLASSES = {"LLaMATokenizer": "LlamaTokenizer", "LLaMATokenizerFast": "LlamaTokenizerFast"}
LLAMA = (*CLASSES, *CLASSES.values())
MOST_BYTES = 1 << 26
KEPT = ".envdoc-original"


@dataclass(frozen=True)
class Change:
    """One file. `before` is None where it does not exist yet."""

    path: Path
    before: Optional[str]
    after: str
    reasons: Tuple[str, ...]

    def diff(self) -> str:
        """The change as a unified diff."""
        name = self.path.name
        old = (self.before or "").splitlines(keepends=True)
        lines = difflib.unified_diff(old, self.after.splitlines(keepends=True), f"a/{name}", f"b/{name}")
        return "".join(
            line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines
        )


@dataclass(frozen=True)
class ModelPlan:
    """All changes to one folder."""

    folder: Path
    changes: Tuple[Change, ...]

    def text(self) -> str:
        """Why each file changes, and the diff of all."""
        told = [f"{change.path.name}: {reason}" for change in self.changes for reason in change.reasons]
        return "\n".join([*told, "", *(change.diff() for change in self.changes)])

    def to_json(self) -> Dict[str, Any]:
        """The plan as a JSON document."""
        return {
            "schema_version": 1,
            "model": str(self.folder),
            "changes": [
                {"file": one.path.name, "reasons": list(one.reasons), "diff": one.diff()}
                for one in self.changes
            ],
        }


def make_plan(folder: Path) -> ModelPlan:
    """What would be mended in that folder; no change where all is well. Raises EnvdocError where that is unsure."""
    if not folder.is_dir():
        raise EnvdocError(f"There is no folder of a model at `{folder}`.")
    files = {name: _read(folder / name) for name in (CONFIG, MAP, MODEL, GENERATION)}
    model = _tokenizer(folder)
    _refuse(folder, files, model)
    pieces = {role: model.special(role) for role in ROLES}
    tokens = {role: piece for role, (_, piece) in pieces.items()}
    ids = {role: number for role, (number, _) in pieces.items()}
    changes = []
    for name, mend in ((CONFIG, _config), (MAP, _map), (MODEL, _ids), (GENERATION, _ids)):
        text, value = files[name]
        if text is None:
            continue
        after, reasons = mend(value, tokens, ids)
        if name == CONFIG:
            _add_bos(folder, value, after, reasons)
        if reasons:
            changes.append(Change(folder / name, text, _like(text, after), tuple(reasons)))
    if files[CONFIG][0] is None:
        after = {
            "add_bos_token": True,
            "add_eos_token": False,
            **_named(tokens),
            "tokenizer_class": "LlamaTokenizer",
        }
        told = "it is not there, and its values are those of tokenizer.model"
        changes.insert(0, Change(folder / CONFIG, None, json.dumps(after, indent=2) + "\n", (told,)))
    return ModelPlan(folder, tuple(changes))


def _named(tokens: Mapping[str, str]) -> Dict[str, str]:
    return {f"{role}_token": token for role, token in tokens.items()}


def _read(path: Path) -> Tuple[Optional[str], Dict[str, Any]]:
    """(the text, its object); (None, {}) where there is no such file. Raises EnvdocError where it cannot be read."""
    if not path.exists():
        return None, {}
    try:
        text = read_bytes(path, MOST_BYTES).decode("utf-8")
        value = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise EnvdocError(f"`{path}` cannot be read, so nothing is changed: {str(error)[:100]}.") from error
    if not isinstance(value, dict):
        raise EnvdocError(f"`{path}` holds no JSON object, so nothing is changed.")
    return text, value


def _tokenizer(folder: Path) -> SentencePieceModel:
    path = folder / TOKENIZER
    try:
        model = parse(read_bytes(path, MOST_BYTES))
    except OSError as error:
        raise EnvdocError(
            f"`{path}` cannot be read, and it is what tells the right tokens: {error.strerror or error}.",
            "Take tokenizer.model from the model that this one was made from.",
        ) from error
    except ValueError as error:
        raise EnvdocError(f"`{path}` is no SentencePiece model, so nothing is changed: {error}.") from error
    for role in ROLES:
        if model.special(role)[0] < 0:
            raise EnvdocError(f"`{path}` itself has no {role} token, so nothing is changed.")
    return model


def _refuse(
    folder: Path, files: Mapping[str, Tuple[Optional[str], Dict[str, Any]]], model: SentencePieceModel
) -> None:
    """Raises EnvdocError where something says that tokenizer.model is not all that the model was trained with."""
    name, kind = files[CONFIG][1].get("tokenizer_class"), files[MODEL][1].get("model_type")
    if name not in (None, *LLAMA):
        raise EnvdocError(f"Its tokenizer is a {name}; only LLaMA's is mended.")
    if name is None and kind != "llama":
        raise EnvdocError(
            f"Nothing says that `{folder}` is a LLaMA (model_type {kind!r}); nothing is changed."
        )
    text, fast = _read(folder / "tokenizer.json")
    if text is not None:
        told = fast.get("model")
        vocabulary = told.get("vocab") if isinstance(told, dict) else None
        for role in ROLES:
            number, piece = model.special(role)
            if not isinstance(vocabulary, dict) or vocabulary.get(piece) != number:
                raise EnvdocError(
                    f"tokenizer.json and tokenizer.model do not agree on {piece}, so nothing is changed.",
                    "Remove the one that is not the model's.",
                )
    for role in ROLES:
        for file in (CONFIG, MAP):
            token = _token(files[file][1].get(f"{role}_token"))
            if token and token != model.special(role)[1] and token != model.special("unk")[1]:
                raise EnvdocError(
                    f"{file} names {token!r} as its {role}_token, and tokenizer.model {model.special(role)[1]!r}: "
                    "the model may have been trained with the former, so nothing is changed.",
                )


def _token(value: Any) -> Optional[str]:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


Mended = Tuple[Dict[str, Any], List[str]]


def _config(value: Mapping[str, Any], tokens: Mapping[str, str], ids: Mapping[str, int]) -> Mended:
    """tokenizer_config.json: empty tokens, tokens that are all <unk>, the class."""
    after, reasons = _tokens(value, tokens)
    name = value.get("tokenizer_class")
    if name in CLASSES:
        after["tokenizer_class"] = CLASSES[name]
        reasons.append(f"transformers has no {name}; it is called {CLASSES[name]} since 4.28")
    return after, reasons


def _map(value: Mapping[str, Any], tokens: Mapping[str, str], ids: Mapping[str, int]) -> Mended:
    """special_tokens_map.json: the same tokens; one that is empty names none of them."""
    if not value:
        return _named(tokens), ["it names no token; they are those of tokenizer.model"]
    return _tokens(value, tokens)


def _tokens(value: Mapping[str, Any], tokens: Mapping[str, str]) -> Mended:
    after, reasons = dict(value), []
    for role, token in tokens.items():
        key = f"{role}_token"
        told = _token(value.get(key))
        if told == "" or (told == tokens["unk"] and role != "unk"):
            after[key] = {**value[key], "content": token} if isinstance(value[key], dict) else token
            shown = "is an empty string" if told == "" else f"is {told}, the unknown token"
            reasons.append(f"{key} {shown}; tokenizer.model has {token}")
    return after, reasons


def _ids(value: Mapping[str, Any], tokens: Mapping[str, str], ids: Mapping[str, int]) -> Mended:
    """config.json and generation_config.json: the ids of bos and eos, and the spelling of the class."""
    after, reasons = dict(value), []
    for role in ("bos", "eos"):
        key = f"{role}_token_id"
        told = value.get(key)
        if type(told) is int and told != ids[role]:
            after[key] = ids[role]
            reasons.append(f"{key} is {told}, and {tokens[role]} is {ids[role]} in tokenizer.model")
    names = value.get("architectures")
    if isinstance(names, list) and any(str(name).startswith("LLaMA") for name in names):
        after["architectures"] = [re.sub(r"^LLaMA", "Llama", str(name)) for name in names]
        reasons.append("the class is spelled Llama since transformers 4.28")
    return after, reasons


def _add_bos(folder: Path, value: Mapping[str, Any], after: Dict[str, Any], reasons: List[str]) -> None:
    """transformers 5 begins a text with <s> only where a file says so; 4 does by default."""
    if "add_bos_token" not in value and not (folder / "tokenizer.json").exists():
        after["add_bos_token"] = True
        reasons.append("add_bos_token is not told, and transformers 5 adds no <s> then")
        if "add_eos_token" not in value:
            after["add_eos_token"] = False


def _like(text: str, value: Mapping[str, Any]) -> str:
    """The object as JSON in the manner of the text that it replaces: its indent, its letters, its last newline."""
    match = re.match(r"\{\r?\n([ \t]+)\"", text)
    plain = all(ord(letter) < 128 for letter in text)
    indent = match.group(1) if match else None
    told = json.dumps(value, indent=indent, ensure_ascii=plain)
    return told + ("\n" if text.endswith("\n") else "")
