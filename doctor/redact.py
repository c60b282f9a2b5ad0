"""Secrets and personal names out of any text that leaves the machine: reports, snapshots, receipts, error lines.

What goes: tokens and keys by their form, credentials in addresses, headers and assignments, private keys, e-mail,
IP and MAC addresses, UUIDs of GPUs, ids of machines, names of hosts in a cluster, the home folder, the user's and the
machine's name. What must stay: versions. A
dotted quad is both, 10.9.0.58 a version of nvidia-cufft and an address; what stands before it decides.
"""

import os
import re
from functools import lru_cache
from typing import Any, Callable, List, Optional, Tuple, Union

REDACTED = "<redacted>"
_Replacement = Union[str, Callable[["re.Match[str]"], str]]

# Repetitions are bounded: a log of megabytes may hold any text, and must not take minutes.
# A name with one of these words in capitals is an environment variable or a constant that holds a secret; those of
# a tokenizer (DEFAULT_PAD_TOKEN, EOS_TOKEN_ID) and plurals (MAX_TOKENS) hold none.
_CONSTANT = (
    r"\b(?:[A-Z0-9]{1,40}_){0,8}(?<!PAD_)(?<!EOS_)(?<!BOS_)(?<!UNK_)(?<!SEP_)(?<!CLS_)(?<!MASK_)"
    r"[A-Z0-9]{0,40}(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSW|PASSPHRASE|CREDENTIALS?|KEY)(?:_[A-Z0-9]{1,40}){0,4}"
)
_WORD = (
    r"\b(?:[A-Za-z0-9]{1,40}[_-]){0,6}(?:(?:api|access|secret|private|auth|session|refresh|hf|hub|bearer|signing|account)[_-]?"
    r"(?:key|token|secret)|client[_-]?secret|passw(?:or)?d|passphrase|secret)\b"
)
_NAME = rf"(?:{_CONSTANT}|(?i:{_WORD}))"
_PLAIN = r"(?:True|False|None|true|false|null)\b"  # `use_auth_token=True` holds no token
_VALUE = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',;&}\])]+)"
_QUERY = r"[\w.-]{0,60}(?:token|key|secret|signature|sig|passw(?:or)?d|auth|credential)[\w.-]{0,60}"

# Forms of keys and tokens by their makers' documentation, each with what makes it theirs: a prefix, then a length.
_MAKERS = (
    r"(?:hf|api_org)_[A-Za-z0-9]{16,}",  # Hugging Face
    r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}",  # GitHub
    r"gl(?:pat|ptt|dt|rt|cbt|soat)-[A-Za-z0-9_-]{16,}",  # GitLab
    r"xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{16,}",  # Slack
    r"sk-(?:proj|ant|or|svcacct|admin|lf)-[A-Za-z0-9_-]{16,}|sk-[A-Za-z0-9]{20,}",  # OpenAI, Anthropic and others
    r"(?:sk|rk|pk|whsec)_(?:live_|test_)[A-Za-z0-9]{16,}",  # Stripe
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",  # AWS
    r"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}",  # Google
    r"npm_[A-Za-z0-9]{30,}|pypi-AgE[A-Za-z0-9_-]{30,}|dckr_pat_[A-Za-z0-9_-]{20,}",  # registries
    r"nvapi-[A-Za-z0-9_-]{30,}|r8_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{30,}",  # NVIDIA, Replicate...
    r"rpa_[A-Z0-9]{30,}|tgp_v1_[A-Za-z0-9_-]{20,}|pplx-[A-Za-z0-9]{30,}|wandb_v1_[A-Za-z0-9_-]{20,}",  # RunPod...
    r"dop_v1_[a-f0-9]{40,}|dapi[a-f0-9]{32}\b|tskey-[a-z]{2,12}-[A-Za-z0-9-]{12,}|SG\.[\w-]{16,}\.[\w-]{16,}",
)
# Folders that hold homes; elsewhere `home` may be a package or a folder of data.
_HOMES = (
    r"(?<![\w.~-])((?:/(?:var|usr|export|nfs|net|mnt|data|vol\d?|autofs|gpfs|lustre|cephfs?|storage|shared))?/home/|"
    r"(?:/mnt/[a-z]|/[a-z])?/Users/|[A-Za-z]:(?:\\{1,2}|/)(?i:users)(?:\\{1,2}|/))(?![<$'])[^/\\\s:\"'`<>,;)]+"
)

# What makes a dotted quad a version: an operator, a file or a requirement before it, or the name of a thing with
# four-part versions (all of NVIDIA's wheels, cuDNN, the opencv-python and types-* families).
_VERSIONED = (
    r"(?i:nvidia|cuda|cudnn|cublas|cufft|curand|cusolver|cusparse|cupti|nccl|nvrtc|nvtx|nvjitlink|cutlass|tensorrt|"
    r"driver|torch|version|release|build|revision|opencv|types-)[\w.-]{0,60}"
)
_VERSION_BEFORE = re.compile(
    r"(?:[=<>~!]=\s*|(?<!-)[<>]\s*|[\w\]][-_+@]v?|\bv|"
    rf"{_VERSIONED}[\s\"'`()|*:,=]{{1,40}}v?|"
    # Later in a sentence about it: "nvidia-nccl-cu12: found 2.29.7.1, wants 2.27.3.1", "9.1.0.70 -> 9.20.0.48".
    rf"{_VERSIONED}(?:[\s\"'`()|*:,;]{{1,4}}(?:->|v?\d+(?:\.\d+)+|found|wants?|needs?|requires?|expected|installed|got|is|"
    r"was|has|and|or|not|but|to|of|instead|at|least|version|from)){1,8}[\s\"'`()|*:,;]{1,4})$"
)
_QUAD = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d]|\.\d)")
_MAC = r"(?<![\w:-])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:-])|(?<![\w-])(?:[0-9A-F]{2}-){5}[0-9A-F]{2}(?![\w-])"
_COLONS = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*[0-9A-Fa-f:](?:%\w+)?(?![\w:])")
_COMMON_HOSTS = (
    "localhost",
    "localhost.localdomain",
    "linux",
    "ubuntu",
    "debian",
    "docker",
    "python",
    "torch",
)
_COMMON_USERS = (
    "root",
    "user",
    "python",
    "torch",
    "train",
    "work",
    "home",
    "data",
    "model",
    "models",
    "nobody",
)


def redact(
    text: str, home: Optional[str] = None, user: Optional[str] = None, host: Optional[str] = None
) -> str:
    """`text` with every secret and personal name replaced by a word in angle brackets; the home folder by `~`.

    Redacting twice changes nothing more. `home`, `user` and `host` default to those of this machine.
    """
    text = without_secrets(text)
    for pattern, replacement in _identities():
        text = pattern.sub(replacement, text)
    text = _QUAD.sub(_address, text)
    if ":" in text:
        text = _COLONS.sub(_long_address, text)
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
    if len(user) > 2 and user not in _COMMON_USERS:
        command = re.sub(rf"(?<=/){re.escape(user)}(?![\w.-])", _shell_user, command)
    return redact(command, home, user, host)


def without_secrets(text: str) -> str:
    """`text` without tokens, keys, passwords and credentials; names, paths and addresses stay as they are."""
    for pattern, replacement in _patterns():
        text = pattern.sub(replacement, text)
    return text


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
    for pattern, replacement in _addresses():
        text = pattern.sub(replacement, text)
    return text


def _entry(key: Any, value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(key, str) and isinstance(value, str):
        if re.fullmatch(_NAME, key) and value and not value.startswith("<"):
            return REDACTED
        if key.endswith("version"):
            return value
    return _each(value, clean)


@lru_cache(maxsize=None)
def _addresses() -> Tuple[Tuple["re.Pattern[str]", _Replacement], ...]:
    return (
        (re.compile(r"\b([A-Za-z][\w+.-]{0,20}://)(?!<redacted>@)[^/\s@'\"]+@"), rf"\1{REDACTED}@"),
        (re.compile(rf"([?&;]{_QUERY}=)(?!<)[^&\s#\"']+", re.IGNORECASE), rf"\1{REDACTED}"),
    )


@lru_cache(maxsize=None)
def _patterns() -> Tuple[Tuple["re.Pattern[str]", _Replacement], ...]:
    """In the order of their use, the longest forms first; compiled once, since start-up time counts."""
    rows: List[Tuple[str, _Replacement]] = [
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", "<private key>"),
        (
            r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]{0,40}(?:key|token))([\"']?\s*:)(?!\s*[\"']?<)"
            r"(\s*[\"']?)[^\n]*?(?=[\"'](?:[,}\]\s]|$)|$)",
            rf"\1\2\3{REDACTED}",
        ),
        (r"(?i)\b(bearer|basic)\s+(?!<)[A-Za-z0-9._~+/=-]{12,}", rf"\1 {REDACTED}"),
        (rf"\b(?:{'|'.join(_MAKERS)})", "<token>"),
        (r"(?i)(\bwandb\b[^\n]{0,60}?\b)[0-9a-f]{40}\b", r"\1<token>"),
        (
            r"\b(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d{3}|sk-(?:ssh|ecdsa)[\w@.-]{1,40})\s+AAAA[A-Za-z0-9+/=]{20,}"
            r"(?:[ \t]+[\w.+-]+@[\w.-]+)?",
            "<ssh key>",
        ),
        (
            r"(?i)(\bmachine[ \t]+\S{1,80}[ \t]+login[ \t]+)\S{1,80}([ \t]+password[ \t]+)(?!<)\S+",
            rf"\1<user>\2{REDACTED}",
        ),
        (
            r"(?i)((?<![\w-])--(?!(?:pad|eos|bos|unk|sep|cls|mask)-)(?:[a-z]{1,20}-){0,3}(?:token|password|passwd|secret|"
            rf"api-?key|access-key)[ \t]+)(?!<|-|[\"']<){_VALUE}",
            rf"\1{REDACTED}",
        ),
        (r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", "<token>"),
        (rf"({_NAME}[\"']?\s*=\s*)(?!<|[\"']<|{_PLAIN}){_VALUE}", rf"\1{REDACTED}"),
        (rf"({_NAME}[\"']?:\s*)(?!<|[\"']<|{_PLAIN}){_VALUE}", rf"\1{REDACTED}"),
    ]
    compiled = [(re.compile(pattern, re.MULTILINE | re.DOTALL), put) for pattern, put in rows]
    return (compiled[0], *_addresses(), *compiled[1:])


@lru_cache(maxsize=None)
def _identities() -> Tuple[Tuple["re.Pattern[str]", _Replacement], ...]:
    rows: List[Tuple[str, _Replacement]] = [
        (r"\b(?:MIG-)?GPU-[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", "<GPU UUID>"),
        (r"\bMIG-[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", "<GPU UUID>"),
        (r"(?<![\w.+-])[\w.+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b", "<e-mail>"),
        (_MAC, "<MAC address>"),
        (r"\bip-\d{1,3}-\d{1,3}-\d{1,3}-\d{1,3}(?![\d-])(?:\.[\w-]{1,63}){0,5}", "<host>"),
        (
            r"(?<![\w.-])(?:[\w-]{1,63}\.){1,6}(?:svc(?:\.[\w-]{1,63}){1,3}|ec2\.internal|compute\.internal|"
            r"google\.internal|c\.[\w-]{1,63}\.internal)\b",
            "<host>",
        ),
        (r"\b(arn:aws[\w-]{0,20}:[\w-]{0,30}:[\w-]{0,30}:)\d{12}\b", r"\1<account>"),
        (
            r"(?i)(\b(?:machine|boot|host|product)[-_ ]?(?:id|uuid)\b[\s\"'`:=]{1,6})"
            r"(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b",
            r"\1<id>",
        ),
        (r"(?i)(\bserial(?:[-_ ]?(?:number|no))?[\s\"'`:=]{1,6})[0-9A-Z]{8,20}\b(?<=\d)", r"\1<id>"),
    ]
    return tuple((re.compile(pattern), put) for pattern, put in rows)


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
    before = match.string[max(0, match.start() - 100) : match.start()]
    return quad if _VERSION_BEFORE.search(before) else "<IP address>"


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
    text = re.sub(_HOMES, r"\1<user>", text)
    if len(user) > 2 and user not in _COMMON_USERS:
        text = re.sub(rf"(?<=/){re.escape(user)}(?![\w.-])", "<user>", text)
        text = re.sub(rf"\b(user(?:name)?|USER|LOGNAME)(\s*[=:]\s*){re.escape(user)}\b", r"\1\2<user>", text)
        text = re.sub(rf"(?<![\w.-]){re.escape(user)}(?=@)", "<user>", text)
    for name in (host, host.split(".")[0]):
        if len(name) > 3 and name.lower() not in _COMMON_HOSTS:
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
