"""Chat templates: the tokenizer's own, or one of these by name; checked against the vocabulary, saved with the adapter.

The texts lie in assets/templates/NAME.jinja, written for envdoc after the formats that the models' makers published.
`{{ bos_token }}` and `{{ eos_token }}` come from the tokenizer.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from envdoc.train import compat, glm
from envdoc.train.errors import DataError, SaveError

FOLDER = Path(__file__).parent / "assets" / "templates"
SAVED = "chat_template.jinja"
PLAIN_BEGINS = "{#- plain:"  # a tokenizer that was saved with it is one without a template of its own
DIFFERS = (
    "`data.template` is {}, and the tokenizer's own template writes conversations differently: a model that already "
    "chats loses by a foreign one (LLaMA-Factory #2509). Leave it out unless this is a base model."
)
# A short conversation, by whose rendering two templates are compared.
SAMPLE = (
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Two."},
    {"role": "user", "content": "Three?"},
    {"role": "assistant", "content": "Four."},
)


@dataclass(frozen=True)
class Named:
    """A template that can be named. Each of `marks` must be one token, or it would be read as a row of letters."""

    marks: Tuple[str, ...]
    source: str  # whose format it is, and the day on which it was written down here


NAMED: Dict[str, Named] = {
    "plain": Named((), "envdoc's own, 2026-11-24"),
    "alpaca": Named((), "the prompt of Stanford Alpaca's train.py, 2026-11-30"),
    "vicuna": Named((), "FastChat's conversation vicuna_v1.1, 2026-11-30"),
    "zephyr": Named((), "HuggingFaceH4/zephyr-7b-beta, tokenizer_config.json, 2026-11-30"),
    "chatml": Named(("<|im_start|>", "<|im_end|>"), "OpenAI's chatml.md of 2023-03, 2026-11-30"),
    "qwen": Named(
        ("<|im_start|>", "<|im_end|>"), "Qwen/Qwen2.5-7B-Instruct, tokenizer_config.json, 2026-11-30"
    ),
    "llama2": Named((), "meta-llama/Llama-2-7b-chat-hf, and llama's generation.py, 2026-11-30"),
    "llama3": Named(
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "Meta-Llama-3-8B-Instruct, and llama3's tokenizer.py, 2026-11-30",
    ),
    "mistral": Named(("[INST]", "[/INST]"), "mistral-common, tokenizer v3, 2026-11-30"),
    "gemma": Named(
        ("<start_of_turn>", "<end_of_turn>"), "google/gemma-2-9b-it, tokenizer_config.json, 2026-11-30"
    ),
    "phi": Named(
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        "microsoft/Phi-3.5-mini-instruct, tokenizer_config.json, 2026-11-30",
    ),
    "glm": Named(
        ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"),
        "THUDM/glm-4-9b-chat, tokenizer_config.json, 2026-11-30",
    ),
    "deepseek": Named(
        ("<｜User｜>", "<｜Assistant｜>"), "deepseek-ai/DeepSeek-V3, tokenizer_config.json, 2026-11-30"
    ),
}


@dataclass(frozen=True)
class Chosen:
    """The template of a run; `notes` are sentences on it."""

    name: str  # "the tokenizer's own", "plain", "chatml"...
    text: Any  # Jinja; some tokenizers have several, by name
    notes: Tuple[str, ...] = ()


def text_of(name: str) -> str:
    """The Jinja text of a named template."""
    return (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


def settle(tokenizer: Any, wanted: str) -> Chosen:
    """The template that the run asks for: "auto" is the tokenizer's own where it has one, else "plain".

    Raises DataError where the vocabulary lacks a mark of the template.
    """
    own = getattr(tokenizer, "chat_template", None)
    if wanted == "auto" and own and not str(own).startswith(PLAIN_BEGINS):
        return Chosen("the tokenizer's own", own)
    name = "plain" if wanted == "auto" else wanted
    missing = [mark for mark in NAMED[name].marks if mark not in _vocabulary(tokenizer)]
    if missing:
        raise DataError(
            f"The template `{name}` writes {missing[0]}, which is no token of this tokenizer: it would be read as "
            f"{_pieces(tokenizer, missing[0])} pieces of text.",
            _instead(tokenizer, bool(own)),
        )
    text = text_of(name)
    if name == "plain" and not _adds_bos(
        tokenizer
    ):  # plain rows are encoded as the tokenizer itself begins texts
        text = text.replace("{{- bos_token }}\n", "")
    if own and _rendered(tokenizer, own) != _rendered(tokenizer, text):
        return Chosen(name, text, (DIFFERS.format(name),))
    return Chosen(name, text)


def save(tokenizer: Any, folder: Path) -> None:
    """Lay the tokenizer with its template beside an adapter, so that whatever loads it chats as it was trained.

    Raises OSError. Since transformers 4.50 the template is a file of its own; it is written so for older ones too.
    """
    try:
        tokenizer.save_pretrained(str(folder))
    except OSError:
        raise
    except Exception as error:  # tokenizers' own wrapping of a full disk; remote code that cannot save
        raise SaveError(f"The tokenizer cannot be written to `{folder}`: {error}.") from None
    text = getattr(tokenizer, "chat_template", None)
    if isinstance(text, str) and not (folder / SAVED).exists():
        (folder / SAVED).write_text(text, encoding="utf-8")


def prompt_ids(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> List[int]:
    """A conversation that ends with a question, as the ids behind which the model answers: samples and chat ask so."""
    if glm.speaks(tokenizer):
        return list(glm.prompt_ids(messages, tokenizer))
    text = compat.render_chat(tokenizer, messages, prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])  # the template wrote them


def _vocabulary(tokenizer: Any) -> Dict[str, int]:
    return {**tokenizer.get_vocab(), **getattr(tokenizer, "get_added_vocab", dict)()}


def _instead(tokenizer: Any, has_own: bool) -> str:
    if has_own:
        return "Leave `data.template` out, for the tokenizer's own."
    known = _vocabulary(tokenizer)
    fitting = [name for name, named in NAMED.items() if named.marks and set(named.marks) <= set(known)]
    if fitting:
        return f"Its vocabulary has the marks of: {', '.join(fitting)}."
    return "Use `data.template=plain`, which needs no marks."


def _pieces(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _adds_bos(tokenizer: Any) -> bool:
    ids = tokenizer("x")["input_ids"]
    return bool(ids) and ids[0] == tokenizer.bos_token_id


def _rendered(tokenizer: Any, template: Any) -> Optional[str]:
    """The sample in a template; None where it refuses the sample."""
    dressed = copy.copy(tokenizer)
    dressed.chat_template = template
    try:
        return compat.render_chat(dressed, SAMPLE)
    except Exception:  # jinja2's errors, and whatever a template raises
        return None
