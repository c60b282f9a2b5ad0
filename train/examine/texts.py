"""What the text of one row tells by itself: damage, cut answers, remains of a template, secrets. Pure functions."""

import re
from typing import Dict, Sequence, Tuple

from envdoc.train.examine.remarks import INFO, WARNING

# UTF-8 that was read as Windows-1252 ("Ã©" for "é", "â€™" for an apostrophe, "Ð°" for a Cyrillic letter), or as GBK.
_CONTINUED = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
MOJIBAKE = re.compile(f"[ÃÐÑ][{_CONTINUED}]|â€[{_CONTINUED}]|Â[\xa0£©®°«»]|ï»¿|锟斤拷|烫烫烫")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")  # tab and line breaks are text
# Markers of chat templates. In a text they are encoded as what they stand for, and end a turn in its middle.
SPECIAL = re.compile(
    r"<\|[a-z_]{2,30}\|>|\[/?INST\]|<</?SYS>>|<(?:start_of_turn|end_of_turn|bos|eos|pad|image|video|audio)>|</s>"
)
# The published forms of keys; what looks like one is counted and never printed. The beginnings are looked for first,
# since `in` is thirty times faster than a pattern that may begin anywhere.
SECRET_STARTS = (
    "AKIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "sk-",
    "hf_",
    "xox",
    "AIza",
    "PRIVATE KEY",
)
SECRETS = re.compile(
    r"\bAKIA[0-9A-Z]{16}\b"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic and others
    r"|\bhf_[A-Za-z0-9]{30,}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|\bAIza[0-9A-Za-z_-]{35}\b"  # Google
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
NOTHING = {"nan", "null", "none", "n/a", "undefined", "todo", "tbd", "...", "…"}

PROSE_CHARACTERS = 200  # a shorter answer may well be a name or a heading
LAST_LINE_CHARACTERS = 40  # a shorter last line is a signature or an item
SENTENCE_END = re.compile(r"[.!?。！？]")
OPEN_ENDS = ",;:(、，；：（-"
LIST_OR_CODE = re.compile(r"\s*(?:[-*+#|>=@$]|\d+[.)]|`|https?:)|.*[`{}\\|<>=]|.*(?:https?://|\s[#@])\S+$")

# code: level, sentence, hint
SAYINGS: Dict[str, Tuple[str, str, str]] = {
    "lost-characters": (
        WARNING,
        "{rows} {hold} U+FFFD, which stands where a character was lost.",
        "Read the source again with its right encoding.",
    ),
    "mojibake": (
        WARNING,
        "{rows} {hold} text that was decoded by the wrong encoding (as `Ã©` for `é`).",
        "Read the source again as UTF-8.",
    ),
    "control-characters": (
        WARNING,
        "{rows} {hold} control characters or a byte order mark inside the text.",
        "Remove them: each is a token that the model learns to write.",
    ),
    "template-remains": (
        WARNING,
        "{rows} {hold} markers of a chat template in the text (as `<|im_end|>`, `[INST]`).",
        "Remove them: the template writes its own, and these would end a turn in its middle.",
    ),
    "secrets": (
        WARNING,
        "{rows} {hold} what looks like a key or a password of a service.",
        "Remove it, and revoke it: a model repeats what it learnt, and so does whoever reads the file.",
    ),
    "says-nothing": (
        WARNING,
        "{answers} {say} nothing (`nan`, `null`, `...`).",
        "pandas writes `nan` for a missing value: remove such rows.",
    ),
    "cut-answers": (
        WARNING,
        "{answers} {end} in mid-sentence, or with a code block left open.",
        "A cut answer teaches the model to stop anywhere: make it again with a higher limit of tokens.",
    ),
    "echo": (WARNING, "{answers} {repeat} the question word for word.", "Remove such rows."),
    "same-role-twice": (
        INFO,
        "{rows} {hold} two messages of the same role in a row.",
        "Some chat templates refuse that; join them where they belong together.",
    ),
}


def marks(messages: Sequence[Dict[str, str]], special: Sequence[str] = ()) -> Tuple[str, ...]:
    """The codes of SAYINGS that hold for a conversation; `special` are the tokenizer's own special tokens."""
    whole = "\n".join(message["content"] for message in messages)
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    roles = [message["role"] for message in messages]
    found = []
    if "\ufffd" in whole:
        found.append("lost-characters")
    if not whole.isascii() and MOJIBAKE.search(whole):
        found.append("mojibake")
    if CONTROL.search(whole):
        found.append("control-characters")
    if (("<" in whole or "[" in whole) and SPECIAL.search(whole)) or any(token in whole for token in special):
        found.append("template-remains")
    if any(start in whole for start in SECRET_STARTS) and SECRETS.search(whole):
        found.append("secrets")
    if any(answer.strip().lower() in NOTHING for answer in answers):
        found.append("says-nothing")
    if any(is_cut(answer) for answer in answers):
        found.append("cut-answers")
    if messages[-2]["content"].strip() == answers[-1].strip():
        found.append("echo")
    if any(one == other for one, other in zip(roles, roles[1:])):
        found.append("same-role-twice")
    return tuple(found)


def is_cut(answer: str) -> bool:
    """Whether an answer seems to end before its end: an open code block, or long prose whose last sentence is open.

    Prose is told by its length, by sentence marks before, and by a last line that is no item, code or link.
    """
    text = answer.rstrip()
    if text.count("```") % 2 and not text.endswith("```"):
        return True
    if len(text) < PROSE_CHARACTERS or not (text[-1].isalpha() or text[-1] in OPEN_ENDS):
        return False
    last_line = text[text.rfind("\n") + 1 :]
    return (
        len(last_line) >= LAST_LINE_CHARACTERS
        and not LIST_OR_CODE.match(last_line)
        and bool(SENTENCE_END.search(text))
    )
