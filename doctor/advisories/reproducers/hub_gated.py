"""A gated repository without a token, on a hub of our own; with a token its file is fetched."""

import _borrowed
from _local_hub import serve
from _verdict import raises

serve()

from huggingface_hub import hf_hub_download
from transformers import AutoConfig

raised = None
try:
    AutoConfig.from_pretrained("our/model")
except OSError as error:
    raised = error


def again() -> None:
    if raised is not None:
        raise raised


_borrowed.cured(lambda: bool(hf_hub_download("our/model", "config.json", token="hf_ours")), True)
raises(again, "gated repo")
