"""Which nodes have come to the meeting: each leaves its `--node-rank` in the store of node 0.

torch's rendezvous counts nodes and knows none of their ranks: of three that were expected it can say that two came.
"""

import json
import socket
from datetime import timedelta
from typing import Any, Dict, List, Optional

KEY = "envdoc/node"
LOOK_LIMIT = timedelta(seconds=10)


class Nodes:
    """The nodes of one run, as they told it. Without a store (node 0 is gone) nothing is known."""

    def __init__(self, meeting: str, count: int) -> None:
        from torch.distributed import TCPStore

        self.count = count
        host, _, port = meeting.rpartition(":")
        try:
            self.store: Optional[Any] = TCPStore(
                host, int(port), is_master=False, timeout=LOOK_LIMIT, wait_for_workers=False
            )
        except RuntimeError:
            self.store = None

    def tell(self, rank: int) -> None:
        """This node is here."""
        try:
            if self.store is not None:
                self.store.set(
                    f"{KEY}/{rank}", json.dumps({"host": socket.gethostname(), "count": self.count})
                )
        except RuntimeError:
            self.store = None

    def there(self) -> Dict[int, Dict[str, Any]]:
        """{rank: {"host", "count"}} of the nodes that came, `count` being the `--nnodes` of each."""
        try:
            if self.store is None:
                return {}
            keys = {rank: f"{KEY}/{rank}" for rank in range(self.count)}
            came = {rank: key for rank, key in keys.items() if self.store.check([key])}
            return {rank: json.loads(self.store.get(key).decode()) for rank, key in came.items()}
        except RuntimeError:
            return {}


def missing(there: Dict[int, Dict[str, Any]], count: int, seconds: int) -> Optional[str]:
    """The sentence that names the nodes that did not come, or those that expect another number; None where nothing
    is known."""
    if not there:
        return None
    other = {rank: node for rank, node in there.items() if node["count"] != count}
    if other:
        told = ", ".join(
            f"node {rank} on {node['host']} `--nnodes {node['count']}`" for rank, node in other.items()
        )
        return f"The nodes do not expect the same number of nodes: this one was given `--nnodes {count}`, {told}."
    absent = [rank for rank in range(count) if rank not in there]
    here = ", ".join(f"{rank} ({node['host']})" for rank, node in there.items())
    if not absent:
        return f"All {count} nodes came, but not within {seconds} s of each other: {here}."
    return (
        f"{_named(absent)} of {count} did not come within {seconds} s; "
        f"{'node' if len(there) == 1 else 'nodes'} {here} did."
    )


def _named(ranks: List[int]) -> str:
    return f"Node {ranks[0]}" if len(ranks) == 1 else f"Nodes {', '.join(map(str, ranks))}"
