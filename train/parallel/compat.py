"""Where torch's agent, accelerate and transformers differ between versions, for runs in several processes."""

import inspect
from pathlib import Path
from typing import Any, Dict


def agent_options(folder: Path) -> Dict[str, Any]:
    """How the agent is told where a rank's own files go: `logs_specs` since torch 2.3, `log_dir` before."""
    from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent

    place = folder.with_name("agent")
    place.mkdir(exist_ok=True)
    if "logs_specs" not in inspect.signature(LocalElasticAgent.__init__).parameters:
        return {"log_dir": str(place)}
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs

    return {"logs_specs": DefaultLogsSpecs(log_dir=str(place))}
