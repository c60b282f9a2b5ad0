"""The tokenizer's files of a model's folder: special tokens, their ids, the chat template. Nothing is imported."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.facts.chat_template import template_faults
from envdoc.doctor.facts.snapshot_model import ChatTemplate, FileProblem, ModelTokenizer, SpecialToken
from envdoc.doctor.files import read_bytes
from envdoc.doctor.weights.archive import pointer
from envdoc.doctor.weights.sentencepiece import SentencePieceModel, parse

CONFIG, MAP = "tokenizer_config.json", "special_tokens_map.json"
FAST, SLOW = "tokenizer.json", "tokenizer.model"
FILES = (
    CONFIG,
    MAP,
    FAST,
    SLOW,
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
)
ROLES = ("bos", "eos", "unk", "pad")
MOST_MODEL_BYTES = 1 << 26
Vocabulary = Dict[str, int]


def read_tokenizer(folder: Path, names: Sequence[str], end_ids: Sequence[int]) -> ModelTokenizer:
    """What the files say. `end_ids` are the ids that config.json and generation_config.json end a text with."""
    from envdoc.doctor.facts.model_folder import read_json

    problems: List[FileProblem] = []
    objects: Dict[str, Dict[str, Any]] = {}
    for name in (CONFIG, MAP, FAST, "added_tokens.json"):
        objects[name], problem = read_json(folder / name) if name in names else ({}, "")
        if problem:
            problems.append(FileProblem(name, problem))
    config = objects[CONFIG]
    model, problem = read_model(folder / SLOW) if SLOW in names else (None, "")
    if problem:
        problems.append(FileProblem(SLOW, problem))
    fast = _fast_vocabulary(objects[FAST])
    vocabulary, source = _vocabulary(fast, model)
    added = _added(config, objects["added_tokens.json"])
    ids = {**vocabulary, **added} if vocabulary else {}
    largest = max(ids, key=lambda token: ids[token]) if ids else ""
    by_model = tuple(SpecialToken(name, piece, SLOW, i) for name, i, piece in model.specials) if model else ()
    specials = tuple(_specials(config, objects[MAP], ids))
    return ModelTokenizer(
        files=tuple(name for name in names if name in FILES or name.endswith(".tiktoken")),
        problems=tuple(problems),
        tokenizer_class=str(config.get("tokenizer_class") or "")[:80],
        vocabulary=source,
        vocabulary_size=ids[largest] + 1 if ids else None,
        largest_token=largest[:80],
        specials=specials,
        empty=tuple(
            f"{file}: {role}_token"
            for file in (CONFIG, MAP)
            for role in ROLES
            if _text(objects[file].get(f"{role}_token")) == ""
        ),
        by_model=by_model,
        apart=_apart(fast, model, by_model),
        add_bos_token=config.get("add_bos_token") if isinstance(config.get("add_bos_token"), bool) else None,
        template=_template(folder, names, config, specials, ids, end_ids),
    )


def read_model(path: Path) -> Tuple[Optional[SentencePieceModel], str]:
    """(the model, "") or (None, why it is none)."""
    try:
        if pointer(path):
            return None, "it is a pointer of Git LFS, not the file itself"
        data = read_bytes(path, MOST_MODEL_BYTES)
    except OSError as error:
        return None, str(error.strerror or error)
    if data[:1] in (b"{", b"<"):  # tiktoken and tekken files bear the name too; an error page of a server
        return None, "it is text, and no SentencePiece model" if data[:1] == b"<" else ""
    try:
        return parse(data), ""
    except ValueError as error:
        return None, f"it is no SentencePiece model: {error}" if not _is_tiktoken(data) else ""


def _is_tiktoken(data: bytes) -> bool:
    """Llama 3 calls its list of base64 and ranks tokenizer.model."""
    line = data[:200].split(b"\n", 1)[0].split(b" ")
    return len(line) == 2 and line[1].strip().isdigit()


def _fast_vocabulary(told: Mapping[str, Any]) -> Vocabulary:
    model = told.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    found: Vocabulary = {}
    if isinstance(vocab, dict):
        found = {str(token): number for token, number in vocab.items() if type(number) is int}
    elif isinstance(vocab, list):  # Unigram: [token, score]
        found = {str(row[0]): i for i, row in enumerate(vocab) if isinstance(row, list) and row}
    rows = told.get("added_tokens")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and type(row.get("id")) is int and isinstance(row.get("content"), str):
            found[row["content"]] = row["id"]
    return found


def _vocabulary(fast: Vocabulary, model: Optional[SentencePieceModel]) -> Tuple[Vocabulary, str]:
    if fast:
        return fast, FAST
    if model is not None:
        return {piece: i for i, piece in reversed(list(enumerate(model.pieces)))}, SLOW
    return {}, ""


def _added(config: Mapping[str, Any], listed: Mapping[str, Any]) -> Vocabulary:
    """What is added to the vocabulary: added_tokens.json {token: id}, added_tokens_decoder {id: {"content"}}."""
    found = {str(token): number for token, number in listed.items() if type(number) is int}
    decoder = config.get("added_tokens_decoder")
    for number, row in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(row, dict) and isinstance(row.get("content"), str) and str(number).isdigit():
            found[row["content"]] = int(number)
    return found


def _specials(config: Mapping[str, Any], mapped: Mapping[str, Any], ids: Vocabulary) -> List[SpecialToken]:
    found = []
    for role in ROLES:
        for file, told in ((CONFIG, config), (MAP, mapped)):
            token = _text(told.get(f"{role}_token"))
            if token is not None:
                found.append(SpecialToken(role, token[:80], file, ids.get(token)))
                break
    return found


def _text(value: Any) -> Optional[str]:
    """A special token as text: plain, or an object with its content."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _apart(
    fast: Vocabulary, model: Optional[SentencePieceModel], specials: Sequence[SpecialToken]
) -> Tuple[str, ...]:
    """Where tokenizer.json and tokenizer.model give a token other ids."""
    if not fast or model is None:
        return ()
    told = [
        f"{one.token}: {fast.get(one.token, 'none')} in {FAST}, {one.id} in {SLOW}"
        for one in specials
        if fast.get(one.token) != one.id
    ]
    moved = [(p, fast[p], i) for i, p in enumerate(model.pieces) if p in fast and fast[p] != i][:3]
    return tuple(told[:3]) or tuple(f"{p[:40]}: {a} in {FAST}, {b} in {SLOW}" for p, a, b in moved)


def _template(
    folder: Path,
    names: Sequence[str],
    config: Mapping[str, Any],
    specials: Sequence[SpecialToken],
    ids: Vocabulary,
    end_ids: Sequence[int],
) -> Optional[ChatTemplate]:
    """The template that counts: chat_template.jinja before tokenizer_config.json (transformers 4.50 and later)."""
    inside = config.get("chat_template")
    if isinstance(inside, list):
        rows = [row for row in inside if isinstance(row, dict)]
        inside = next((row.get("template") for row in rows if row.get("name") == "default"), None)
    texts: List[Tuple[str, str]] = []
    if "chat_template.jinja" in names:
        try:
            text = read_bytes(folder / "chat_template.jinja").decode("utf-8", "replace")
            texts.append(("chat_template.jinja", text))
        except OSError:
            pass
    if isinstance(inside, str):
        texts.append((CONFIG, inside))
    if not texts:
        return None
    file, text = texts[0]
    eos = next((one.token for one in specials if one.role == "eos"), "")
    by_id = {number: token for token, number in ids.items()}
    ends = [token for token in (eos, *(by_id.get(number, "") for number in end_ids)) if token]
    others = [name for name, other in texts[1:] if other.strip() != text.strip()]
    return ChatTemplate(
        file,
        template_faults(text),
        "eos_token" in text or any(token in text for token in ends) or not ends,
        eos,
        others[0] if others else "",
    )
