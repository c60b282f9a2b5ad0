"""The branches of the snapshot about a rented machine: what else servers told, how fast disks write, the model."""

from typing import Optional

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class Question:
    """One question of `check --online` that has no rate: is this token accepted, may this model be read?"""

    purpose: str  # "token", "model", "catalogue" or "extra index"
    url: str = ""  # of the server, without credentials
    status: str = "skipped"  # "answered", "failed" (an answer that is wrong) or "skipped" (none)
    stage: str = ""  # as of Server
    error: str = ""
    http_status: Optional[int] = None
    seconds: float = 0.0  # until the answer
    told: str = ""  # what the answer says in one word: "GatedRepo", "manual", "ranges"


@dataclass(frozen=True)
class DiskSpeed:
    """How fast a file of up to 256 MB is written to a folder, fsync included (`--online` and `--deep`)."""

    purpose: str  # "work" or "cache"
    path: str = ""
    bytes_per_second: Optional[float] = None
    measured_bytes: int = 0
    error: str = ""  # why it was not measured


@dataclass(frozen=True)
class WantedModel:
    """The model of `--model`, by whatever tells its size; None where nothing does."""

    name: str  # as it was given: a folder, or a name on the hub
    source: str = ""  # "folder", "cache", "hub" or "name" (an estimate from a number like 7B); "" for none
    problem: str = ""  # why nothing tells more
    model_type: str = ""  # "llama"
    parameters: Optional[int] = None
    linear_parameters: Optional[int] = None  # in the layers that 8 and 4 bit shrink and LoRA adapts
    lora_parameters_per_rank: Optional[int] = None  # with an adapter on each of those layers
    download_bytes: Optional[int] = None  # the files that from_pretrained takes: one format of the weights
    repository_bytes: Optional[int] = None  # all files: what a clone or a whole snapshot takes
    present_bytes: int = 0  # of the download, already on this machine
    largest_file_bytes: int = 0  # of the weights
    weight_bytes: Optional[int] = None  # of the weights alone, as stored
    is_pickled: bool = False  # the weights are .bin files, read whole
    rank: int = 16  # of the LoRA; this and the next two as a run file says, else envdoc train's defaults
    kept_checkpoints: int = 2
    bits: Optional[int] = None  # in which the run file loads it: 16, 8 or 4; None: no run file was named
    is_quantized: bool = False  # the checkpoint itself is: config.json has quantization_config
