"""By which way a server is reached: the proxy that the variables name for it, and what an address tells of a log-in."""

import base64
from typing import Dict, Mapping, Tuple
from urllib.parse import SplitResult, unquote

from envdoc.doctor.facts.stages import StageError


def proxies(environ: Mapping[str, str]) -> Dict[str, str]:
    """scheme → address as curl and requests read them: lower case first; "no" holds the exceptions."""
    found: Dict[str, str] = {}
    for name in ("http", "https", "all", "no"):
        value = environ.get(f"{name}_proxy") or environ.get(f"{name.upper()}_PROXY") or ""
        if value:
            found[name] = value
    return found


def without_proxy(host: str, exceptions: str) -> bool:
    """Whether no_proxy names that host or a domain above it; `*` names all."""
    names = [name.strip().lstrip(".").partition(":")[0].lower() for name in exceptions.split(",")]
    return any(name == "*" or host == name or host.endswith(f".{name}") for name in names if name)


def host_and_port(parts: SplitResult) -> Tuple[str, int]:
    """Of an http or https address. Raises StageError("name")."""
    try:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise StageError("name", f"the address has no usable port: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise StageError("name", "the address is none of http or https with a host name")
    return host, port


def authorization(parts: SplitResult, header: str = "Authorization") -> Dict[str, str]:
    """The header for the user and password of an address, where it has them."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {header: "Basic " + base64.b64encode(pair.encode()).decode()}
