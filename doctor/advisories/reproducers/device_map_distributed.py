"""accelerate prepares a quantised model that was spread over two devices, in one process: does it refuse for that?

The check that comes next asks torch for a GPU: whoever gets so far was not refused.
"""

import _borrowed  # noqa: F401
import torch
from _verdict import finish, raises
from accelerate import Accelerator

model = torch.nn.Linear(2, 2)
model.is_loaded_in_8bit = True
model.hf_device_map = {"first": 0, "second": 1}


def prepare() -> str:
    try:
        Accelerator(cpu=True).prepare_model(model, device_placement=False)
    except RuntimeError as error:
        if "Cannot access accelerator device" in str(error):
            finish(False, f"not refused for its two devices; the next check says: {error}")
        raise
    return "prepared"


raises(prepare, "loaded in 8-bit .{0,40}on multiple devices")
