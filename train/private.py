"""What must not stand in the files of a run, which people publish with their adapters: names and secrets.

The home folder, and with it the user's name, becomes `~`, which every path of a run file may begin with. Credentials
in addresses and tokens of known forms go whole. `adapter_config.json` alone keeps the base's full path: peft
loads by it.
"""

import re
from pathlib import Path
from typing import Any, Tuple

REMOVED = "<redacted>"
SECRETS: Tuple["re.Pattern[str]", ...] = tuple(
    re.compile(form)
    for form in (
        r"(?<=://)[^/\s@]+(?=@)",  # user:password in an address
        r"\bhf_[A-Za-z0-9]{16,}",  # Hugging Face
        r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic and others
        r"\b(?:gh[pousr]|github_pat)_[A-Za-z0-9_]{16,}",  # GitHub
        r"\bglpat-[A-Za-z0-9_-]{16,}",  # GitLab
        r"\bAKIA[0-9A-Z]{16}\b",  # AWS
        r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}",
        r"(?i)(?<=api_key=)[^\s&]+",
        r"(?i)(?<=token=)[^\s&]+",
        r"(?i)(?<=password=)[^\s&]+",
    )
)


def private(value: Any) -> Any:
    """The same value, nested as it is, without the home folder's name and without secrets in its texts."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {key: private(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [private(inner) for inner in value]
    return value


def _clean(text: str) -> str:
    for form in SECRETS:
        text = form.sub(REMOVED, text)
    home = str(Path.home()).rstrip("/")
    if len(home) > 1 and home in text:
        text = re.sub(rf"(?<![\w.~-]){re.escape(home)}(?![\w.-])", "~", text)
    return text
