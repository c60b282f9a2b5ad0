"""The hub's address is a closed port: what does from_pretrained say? A local folder needs no hub."""

import os

import _borrowed
from _verdict import raises

os.environ.update(HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0", TRANSFORMERS_OFFLINE="0")
os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")

from transformers import AutoConfig, GPT2Config

GPT2Config(n_layer=1).save_pretrained("local")
_borrowed.cured(lambda: AutoConfig.from_pretrained("local").n_layer, 1)
raises(lambda: AutoConfig.from_pretrained("our/model"), "We couldn't connect to")
