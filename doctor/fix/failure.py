"""Why an installer failed: from its output to one sentence with a hint, and a kind that decides what is done next."""

import re
from pathlib import Path

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.pip_config import last_line


class Failure(FixError):
    """An installer that failed, and the kind of its failure: disk, cache, hash, network, missing or other."""

    def __init__(self, kind: str, message: str, hint: str, digest: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind
        self.digest = digest  # of the file that arrived, where its hash differs from the lock's


_CAUSES = (
    ("disk", r"No space left on device|Disk quota exceeded|os error 28\b"),
    ("cache", r"Could not acquire lock|[Ff]ailed to initialize cache"),  # ENOLCK, read-only, somebody else's
    ("hash", r"DO NOT MATCH THE HASHES|[Hh]ash mismatch"),
    (
        "network",
        r"IncompleteRead|Connection (broken|reset|aborted)|Read timed out|ReadTimeout|not enough bytes were received|"
        r"error decoding response body|unexpected (EOF|end of file)|error sending request|operation timed out|"
        r"Temporary failure in name resolution|Name or service not known|Network is unreachable|dns error|"
        r"Max retries exceeded|NewConnectionError|Could not fetch URL|50[234] (Server Error|Bad Gateway|Service)|"
        r"Failed to (fetch|download)|[Rr]equest failed after \d+ retries|"
        r"Bad uncompressed size|Bad CRC|BadZipFile|[Ff]ailed to (extract|unzip)",  # uv unpacks while it downloads
    ),
    (
        "missing",
        r"No matching distribution found|Could not find a version|No solution found|[Nn]ot found in the",
    ),
)


def failure_of(tool: str, output: str, returncode: int, log: Path) -> Failure:
    """What an installer's output says about why it failed, as one sentence with a hint."""
    kind = next((name for name, pattern in _CAUSES if re.search(pattern, output)), "other")
    again = "Run it again: what has arrived is kept in the installer's cache."
    if kind == "disk":
        return Failure(
            kind, "The disk is full.", "Make room, or set ENVDOC_HOME to a folder on a larger disk."
        )
    if kind == "cache":
        return Failure(
            kind,
            f"{tool}'s cache cannot be used: {_error_line(output)}",
            f"`{tool} cache dir` names it; UV_CACHE_DIR names another.",
        )
    if kind == "hash":
        # pip: "torch==2.0.1 from https://... : Expected sha256 ... Got ...";  uv: "Hash mismatch for `torch==2.0.1`"
        name = re.search(
            r"^\s+([\w.-]+==\S+?)(?= from )|[Hh]ash mismatch for `([^`]+)`", output, re.MULTILINE
        )
        got = re.search(r"(?:Got|Computed:\s+sha256:)\s*([0-9a-f]{64})", output)
        what = next((group for group in name.groups() if group), "a file") if name else "a file"
        return Failure(
            kind,
            f"The hash of {what} differs from the lock's: the index or a mirror serves another file.",
            "Nothing of it was installed. Try the package index itself, and if it stays so, report it.",
            got.group(1) if got else "",
        )
    if kind == "network":
        return Failure(kind, f"The download broke off: {_error_line(output)}", again)
    if kind == "missing":
        return Failure(
            kind,
            f"The package index lacks a pinned file: {_error_line(output)}",
            "Compare `pip config list` with the index you mean: a mirror may lag behind, or lack a package.",
        )
    how = f"signal {-returncode}" if returncode < 0 else f"status {returncode}"
    return Failure(
        kind, f"{tool} ended with {how}: {_error_line(output)}", f"Its whole output is in `{log}`."
    )


def incomplete(failure: Failure) -> Failure:
    return Failure(
        "incomplete",
        "The download was incomplete three times: each time other bytes arrived.",
        "Run it again. If it stays so, a proxy between here and the package index cuts large files.",
        failure.digest,
    )


def _error_line(output: str) -> str:
    """The line that names the error: pip writes `ERROR:`, uv `error:` and its causes below.

    uv breaks a long line, as one with a long path is, and indents what follows.
    """
    whole = re.sub(r"\n {8,}(?=\S)", " ", output)
    marked = [line for line in whole.splitlines() if re.match(r"\s*(ERROR:|error:|cause:|Caused by:)", line)]
    text = re.sub(r"^(ERROR|error|cause|Caused by):\s*", "", last_line("\n".join(marked) or output))[:400]
    return text if text.endswith(".") else text + "."
