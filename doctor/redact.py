"""Secrets and personal names out of any text that leaves the machine: reports, snapshots, receipts, error lines.

What goes: tokens and keys by their form, credentials in addresses, headers and assignments, private keys, e-mail,
IP and MAC addresses, UUIDs of GPUs, ids of machines, names of hosts in a cluster, the home folder, the user's and the
machine's name. What must stay: versions. A dotted quad is both, 10.9.0.58 a version of nvidia-cufft and an
address; what stands before it decides.
"""

import os
import re
from functools import lru_cache
from typing import Any, Callable, Optional, Sequence, Tuple

from envdoc.doctor.redact_forms import (
    ADDRESSES,
    COLONS,
    COMMON_HOSTS,
    COMMON_USERS,
    HOMES,
    IDENTITIES,
    NAME,
    QUAD,
    REDACTED,
    SECRETS,
    VERSION_BEFORE,
    Form,
)

_PLACEHOLDER = re.compile(r"<[A-Za-z -]{2,12}>")


def redact(
    text: str, home: Optional[str] = None, user: Optional[str] = None, host: Optional[str] = None
) -> str:
    """`text` with every secret and personal name replaced by a word in angle brackets; the home folder by `~`.

    Redacting twice changes nothing more. `home`, `user` and `host` default to those of this machine.
    """
    text = _replaced(without_secrets(text), IDENTITIES)
    text = QUAD.sub(_address, text)
    if ":" in text:
        text = COLONS.sub(_long_address, text)
    default_home, default_user, default_host = _machine()
    return _without_names(
        text,
        default_home if home is None else home,
        default_user if user is None else user,
        default_host if host is None else host,
    )


def redact_command(
    command: str, home: Optional[str] = None, user: Optional[str] = None, host: Optional[str] = None
) -> str:
    """`redact` for a line that is to be pasted into a shell: the caller's own folders still lead there.

    The home folder becomes `~` where a shell expands that and `$HOME` elsewhere, the user's name in a path `$USER`.
    Another person's name has no such form; it becomes `<user>` as everywhere.
    """
    default_home, default_user, _ = _machine()
    home = (default_home if home is None else home).rstrip("/")
    user = default_user if user is None else user
    if len(home) > 1:
        command = re.sub(rf"['\"]?(?<![\w.~-]){re.escape(home)}(?![\w.-])/?", _shell_home, command)
    if len(user) > 2 and user not in COMMON_USERS:
        command = re.sub(rf"(?<=/){re.escape(user)}(?![\w.-])", _shell_user, command)
    return redact(command, home, user, host)


def without_secrets(text: str) -> str:
    """`text` without tokens, keys, passwords and credentials; names, paths and addresses stay as they are."""
    return _replaced(text, SECRETS)


def redact_value(value: Any, **names: str) -> Any:
    """The same over strings in nested dictionaries, lists and tuples; whatever a secret's key holds goes whole.

    A value under a key that names a version is left as it is. `names` are `home`, `user` and `host` of `redact`.
    """
    return _each(value, lambda text: redact(text, **names))


def without_secret_values(value: Any) -> Any:
    """`without_secrets` over nested dictionaries, lists and tuples; whatever a secret's key holds goes whole."""
    return _each(value, without_secrets)


def _each(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _entry(key, inner, clean) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_each(inner, clean) for inner in value])
    return value


def without_credentials(text: str) -> str:
    """`text` without user names and passwords in addresses and without secret query values; nothing else changes."""
    if "://" not in text and "@" not in text:
        return text
    return _replaced(text, ADDRESSES)


def _entry(key: Any, value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(key, str) and isinstance(value, str):
        if re.fullmatch(NAME, key) and value and not value.startswith("<"):
            return REDACTED
        if key.endswith("version"):
            return value
    return _each(value, clean)


def _replaced(text: str, forms: Sequence[Form]) -> str:
    """`text` after every form in turn. One is tried only where a word that it must hold is there: most texts hold none,
    and neither compiling a form nor trying it is then paid for."""
    lower = text.lower()
    for words, pattern, flags, replacement in forms:
        if any(word in lower for word in words):
            text = _compiled(pattern, flags).sub(replacement, text)
    return text


_compiled = lru_cache(maxsize=None)(re.compile)


def _shell_home(match: "re.Match[str]") -> str:
    """The home folder in a shell's words: a tilde only where one is expanded, at the start of a word, unquoted."""
    found = match.group()
    opening = found[0] if found[0] in "'\"" else ""
    slash = "/" if found.endswith("/") else ""
    inside = _quote_at(match.string, match.start())
    starts_word = match.start() == 0 or match.string[match.start() - 1] in " \t\n;|&(<>"
    if starts_word and not inside:
        if not opening:
            return f"~{slash}"
        if slash:
            return f"~/{opening}"
    inside = _quote_at(match.string, match.start() + len(opening))
    return f"{opening}'\"$HOME\"'{slash}" if inside == "'" else f"{opening}$HOME{slash}"


def _shell_user(match: "re.Match[str]") -> str:
    return "'\"$USER\"'" if _quote_at(match.string, match.start()) == "'" else "$USER"


def _quote_at(command: str, position: int) -> str:
    """The quote that is open before that position, or nothing."""
    quote = ""
    escaped = False
    for character in command[:position]:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return quote


def _address(match: "re.Match[str]") -> str:
    quad = match.group()
    parts = quad.split(".")
    if any(int(part) > 255 or (len(part) > 1 and part[0] == "0") for part in parts):
        return quad
    if quad.startswith(("127.", "255.")) or quad == "0.0.0.0":
        return quad  # every machine's own, and often the very point of a message
    # The end of a placeholder of ours is no operator: `<GPU UUID> 10.0.0.5` is an address.
    before = _PLACEHOLDER.sub("", match.string[max(0, match.start() - 100) : match.start()])
    return quad if _compiled(VERSION_BEFORE, 0).search(before) else "<IP address>"


def _long_address(match: "re.Match[str]") -> str:
    import socket

    try:
        socket.inet_pton(socket.AF_INET6, match.group().partition("%")[0])
    except OSError:
        return match.group()  # a PCI address, a time, a digest
    return "<IP address>"


def _without_names(text: str, home: str, user: str, host: str) -> str:
    home = home.rstrip("/")
    if len(home) > 1:
        text = re.sub(rf"(?<![\w.~-]){re.escape(home)}(?![\w.-])", "~", text)
    text = re.sub(HOMES, r"\1<user>", text)
    if len(user) > 2 and user not in COMMON_USERS:
        text = re.sub(rf"(?<=/){re.escape(user)}(?![\w.-])", "<user>", text)
        text = re.sub(rf"\b(user(?:name)?|USER|LOGNAME)(\s*[=:]\s*){re.escape(user)}\b", r"\1\2<user>", text)
        text = re.sub(rf"(?<![\w.-]){re.escape(user)}(?=@)", "<user>", text)
    for name in (host, host.split(".")[0]):
        if len(name) > 3 and name.lower() not in COMMON_HOSTS:
            text = re.sub(rf"(?<![\w.<-]){re.escape(name)}(?![\w>-])", "<host>", text)
    return text


@lru_cache(maxsize=None)
def _machine() -> Tuple[str, str, str]:
    """The home folder, the user's name and the machine's name."""
    import pwd

    try:
        entry = pwd.getpwuid(os.getuid())
        name, folder = entry.pw_name, entry.pw_dir
    except KeyError:  # a container that runs as a number nobody has
        name, folder = "", ""
    home = os.environ.get("HOME") or folder
    return home, os.environ.get("LOGNAME") or os.environ.get("USER") or name, os.uname().nodename
