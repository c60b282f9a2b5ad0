"""At which stage a request failed, and whether anything answered: what a refused connection or handshake tells."""

import http.client
import re
import socket
import ssl

NO_ANSWER = (
    "name",
    "connection",
    "timeout",
    "closed",
    "proxy silent",
)  # stages that tell nothing of the server
_GATEWAY = (502, 503, 504)  # of a proxy that itself reaches nobody


class StageError(Exception):
    """A stage that failed.

    One of NO_ANSWER; or an answer that is wrong: "proxy", "certificate", "tls", "http"; or "unmeasured".
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


def proxy_stage(error: BaseException) -> str:
    """Whether the proxy refuses ("proxy"), says that the server is out of its reach, or says nothing."""
    refused = re.search(r"Tunnel connection failed: (\d{3})", str(error))
    if refused:
        return "connection" if int(refused.group(1)) in _GATEWAY else "proxy"
    if isinstance(error, (ConnectionRefusedError, http.client.HTTPException)):
        return "proxy"  # nobody listens where the configuration says, or it is no proxy
    return "proxy silent"


def tls_stage(error: BaseException) -> str:
    """A handshake that was answered wrongly ("tls"), cut off ("closed"), or not answered."""
    if isinstance(error, socket.timeout):
        return "timeout"
    cut = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or not isinstance(error, ssl.SSLError)
    return "closed" if cut and isinstance(error, OSError) else "tls"


def words(error: BaseException) -> str:
    """What went wrong, as the system says it."""
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
