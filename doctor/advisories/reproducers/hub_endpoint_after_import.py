"""HF_ENDPOINT set after huggingface_hub was imported: is it used? Set before the import it must be."""

import os
import subprocess
import sys

import _borrowed
from _verdict import finish
from huggingface_hub import constants

MIRROR = "https://mirror.invalid"
PRINT = "from huggingface_hub import constants; print(constants.ENDPOINT)"


def before() -> str:
    environment = dict(os.environ, HF_ENDPOINT=MIRROR)
    return subprocess.run(
        [sys.executable, "-c", PRINT], env=environment, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


_borrowed.cured(before, MIRROR)
os.environ["HF_ENDPOINT"] = MIRROR
used = constants.ENDPOINT == MIRROR
finish(
    not used, "the endpoint that is used is still the one of the import" if not used else "the mirror is used"
)
