"""The forms that secrets and personal names have: patterns, each with words of which a text that matches holds one."""

import re
from typing import Callable, Tuple, Union

REDACTED = "<redacted>"
Replacement = Union[str, Callable[["re.Match[str]"], str]]

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
NAME = rf"(?:{_CONSTANT}|(?i:{_WORD}))"
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
HOMES = (
    r"(?<![\w.~-])((?:/(?:var|usr|export|nfs|net|mnt|data|vol\d?|autofs|gpfs|lustre|cephfs?|storage|shared))?/home/|"
    r"(?:/mnt/[a-z]|/[a-z])?/Users/|[A-Za-z]:(?:\\{1,2}|/)(?i:users)(?:\\{1,2}|/))(?![<$'])[^/\\\s:\"'`<>,;)]+"
)

# What makes a dotted quad a version: an operator, a file or a requirement before it, or the name of a thing with
# four-part versions (all of NVIDIA's wheels, cuDNN, the opencv-python and types-* families).
_VERSIONED = (
    r"(?i:nvidia|cuda|cudnn|cublas|cufft|curand|cusolver|cusparse|cupti|nccl|nvrtc|nvtx|nvjitlink|cutlass|tensorrt|"
    r"driver|torch|version|release|build|revision|opencv|types-)[\w.-]{0,60}"
)
VERSION_BEFORE = (
    r"(?:[=<>~!]=\s*|(?<!-)[<>]\s*|[\w\]][-_+@]v?|\bv|"
    rf"{_VERSIONED}[\s\"'`()|*:,=]{{1,40}}v?|"
    # Later in a sentence about it: "nvidia-nccl-cu12: found 2.29.7.1, wants 2.27.3.1", "9.1.0.70 -> 9.20.0.48".
    rf"{_VERSIONED}(?:[\s\"'`()|*:,;]{{1,4}}(?:->|v?\d+(?:\.\d+)+|found|wants?|needs?|requires?|expected|installed|got|is|"
    r"was|has|and|or|not|but|to|of|instead|at|least|version|from)){1,8}[\s\"'`()|*:,;]{1,4})$"
)
QUAD = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d]|\.\d)")
_MAC = r"(?<![\w:-])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:-])|(?<![\w-])(?:[0-9A-F]{2}-){5}[0-9A-F]{2}(?![\w-])"
COLONS = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*[0-9A-Fa-f:](?:%\w+)?(?![\w:])")
_TEXT = re.MULTILINE | re.DOTALL
Form = Tuple[
    Tuple[str, ...], str, int, Replacement
]  # words in lower case of which one must be there, a pattern...
ADDRESSES: Tuple[Form, ...] = (
    (("://",), r"\b([A-Za-z][\w+.-]{0,20}://)(?!<redacted>@)[^/\s@'\"]+@", 0, rf"\1{REDACTED}@"),
    (("=",), rf"([?&;]{_QUERY}=)(?!<)[^&\s#\"']+", re.IGNORECASE, rf"\1{REDACTED}"),
)
_KEYWORDS = ("token", "secret", "passw", "passphrase", "credential", "key")

# In the order of their use, the longest forms first.
SECRETS: Tuple[Form, ...] = (
    (
        ("private key-----",),
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        _TEXT,
        "<private key>",
    ),
    *ADDRESSES,
    (
        ("authorization", "cookie", "x-"),
        r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]{0,40}(?:key|token))([\"']?\s*:)(?!\s*[\"']?<)"
        r"(\s*[\"']?)[^\n]*?(?=[\"'](?:[,}\]\s]|$)|$)",
        _TEXT,
        rf"\1\2\3{REDACTED}",
    ),
    (("bearer", "basic"), r"(?i)\b(bearer|basic)\s+(?!<)[A-Za-z0-9._~+/=-]{12,}", _TEXT, rf"\1 {REDACTED}"),
    (("",), rf"\b(?:{'|'.join(_MAKERS)})", _TEXT, "<token>"),
    (("wandb",), r"(?i)(\bwandb\b[^\n]{0,60}?\b)[0-9a-f]{40}\b", _TEXT, r"\1<token>"),
    (
        ("aaaa",),
        r"\b(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d{3}|sk-(?:ssh|ecdsa)[\w@.-]{1,40})\s+AAAA[A-Za-z0-9+/=]{20,}"
        r"(?:[ \t]+[\w.+-]+@[\w.-]+)?",
        _TEXT,
        "<ssh key>",
    ),
    (
        ("machine",),
        r"(?i)(\bmachine[ \t]+\S{1,80}[ \t]+login[ \t]+)\S{1,80}([ \t]+password[ \t]+)(?!<)\S+",
        _TEXT,
        rf"\1<user>\2{REDACTED}",
    ),
    (
        ("--",),
        r"(?i)((?<![\w-])--(?!(?:pad|eos|bos|unk|sep|cls|mask)-)(?:[a-z]{1,20}-){0,3}(?:token|password|passwd|secret|"
        rf"api-?key|access-key)[ \t]+)(?!<|-|[\"']<){_VALUE}",
        _TEXT,
        rf"\1{REDACTED}",
    ),
    (
        ("eyj",),
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        _TEXT,
        "<token>",
    ),
    (_KEYWORDS, rf"({NAME}[\"']?\s*=\s*)(?!<|[\"']<|{_PLAIN}){_VALUE}", _TEXT, rf"\1{REDACTED}"),
    (_KEYWORDS, rf"({NAME}[\"']?:\s*)(?!<|[\"']<|{_PLAIN}){_VALUE}", _TEXT, rf"\1{REDACTED}"),
)
IDENTITIES: Tuple[Form, ...] = (
    (("gpu-",), r"\b(?:MIG-)?GPU-[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", 0, "<GPU UUID>"),
    (("mig-",), r"\bMIG-[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", 0, "<GPU UUID>"),
    (("@",), r"(?<![\w.+-])[\w.+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b", 0, "<e-mail>"),
    ((":", "-"), _MAC, 0, "<MAC address>"),
    (
        ("ip-",),
        r"\bip-\d{1,3}-\d{1,3}-\d{1,3}-\d{1,3}(?![\d-])(?:\.[\w-]{1,63}){0,5}",
        0,
        "<host>",
    ),
    (
        (".svc", ".internal"),
        r"(?<![\w.-])(?:[\w-]{1,63}\.){1,6}(?:svc(?:\.[\w-]{1,63}){1,3}|ec2\.internal|compute\.internal|"
        r"google\.internal|c\.[\w-]{1,63}\.internal)\b",
        0,
        "<host>",
    ),
    (("arn:aws",), r"\b(arn:aws[\w-]{0,20}:[\w-]{0,30}:[\w-]{0,30}:)\d{12}\b", 0, r"\1<account>"),
    (
        ("id",),
        r"(?i)(\b(?:machine|boot|host|product)[-_ ]?(?:id|uuid)\b[\s\"'`:=]{1,6})"
        r"(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b",
        0,
        r"\1<id>",
    ),
    (
        ("serial",),
        r"(?i)(\bserial(?:[-_ ]?(?:number|no))?[\s\"'`:=]{1,6})[0-9A-Z]{8,20}\b(?<=\d)",
        0,
        r"\1<id>",
    ),
)
COMMON_HOSTS = (
    "localhost",
    "localhost.localdomain",
    "linux",
    "ubuntu",
    "debian",
    "docker",
    "python",
    "torch",
)
COMMON_USERS = (
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
