"""Faults of a rented machine that `--online` and `--model` name: servers on loopback that answer wrongly."""

import json
import sys
from pathlib import Path

from fault import fault

sys.path.insert(0, str(Path(__file__).parents[1] / "facts"))
from network_server import closed_port, lasting, self_signed

HUB_TOKEN = "hf_" + "o" * 34
LARGE = {  # 1.5 trillion parameters
    "model_type": "llama",
    "hidden_size": 16384,
    "num_hidden_layers": 500,
    "num_attention_heads": 128,
    "intermediate_size": 45056,
    "vocab_size": 128256,
}


def online(box, **settings):
    """A machine that knows one server as its index and its hub; the check asks it."""
    server = lasting(**settings)
    box.arguments.append("--online")
    box.environ.update(
        PIP_INDEX_URL=f"{server.url}/simple", HF_ENDPOINT=server.url, PIP_CONFIG_FILE="/dev/null"
    )
    return server


@fault("R01", "NET001", says=["403"])
def index_refuses(box):
    """The package index answers 403 to everything."""
    online(box)
    box.environ["PIP_INDEX_URL"] = f"{lasting(behaviour=403).url}/simple"


@fault("R02", "NET004", says=["HTTP"])
def hub_is_another_page(box):
    """HF_ENDPOINT leads to a server that is no hub, and fails."""
    online(box)
    box.environ["HF_ENDPOINT"] = lasting(behaviour=500).url


@fault("R03", "NET003", says=["certificate"])
def certificate_of_a_proxy(box):
    """The servers show a certificate that nobody here knows."""
    online(box, certificate=self_signed(box.folder))


@fault("R04", "NET007", says=["proxy"])
def proxy_left_over(box):
    """https_proxy leads to a port on which nobody listens."""
    server = online(box)
    secure = server.url.replace("http:", "https:")
    box.environ.update(HF_ENDPOINT=secure, https_proxy=f"http://127.0.0.1:{closed_port()}")


@fault("R05", "NET010", says=["clock"])
def clock_is_behind(box):
    """The servers' clocks are an hour ahead."""
    online(box).skew_seconds = 3600


@fault("R06", "NET011", says=["token"])
def token_was_revoked(box):
    """The hub does not know the token in HF_TOKEN."""
    online(box)
    box.environ["HF_TOKEN"] = HUB_TOKEN


@fault("R07", "NET012", says=["gated"])
def model_is_gated(box):
    """The model's licence was never accepted."""
    server = online(box)
    server.models["org/closed"] = {"files": {"model.safetensors": 10**9}, "config": {}, "gated": "manual"}
    box.arguments += ["--model", "org/closed"]


@fault("R08", "SYS042", says=["download"])
def model_is_larger_than_the_disk(box):
    """A model of 1.5 trillion parameters is to be downloaded."""
    folder = box.folder / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LARGE))
    box.arguments += ["--model", str(folder)]


@fault("R09", "SYS045", says=["does not fit"], also=["SYS042"])
def model_is_larger_than_the_gpu(box):
    """The same on a machine with an H100: not even in 4 bit."""
    box.gpu_machine()
    model_is_larger_than_the_disk(box)


@fault("R10", "NET002", says=["slow"])
def index_is_slow(box):
    """The index delivers 300 kB/s."""
    online(box, bytes_per_second=300_000)
