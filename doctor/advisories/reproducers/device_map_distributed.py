"""accelerate prepares a quantised model that was spread over two devices, in one process: does it refuse?"""

import _borrowed  # noqa: F401
import torch
from _verdict import raises
from accelerate import Accelerator

model = torch.nn.Linear(2, 2)
model.is_loaded_in_8bit = True
model.hf_device_map = {"first": 0, "second": 1}


def prepare() -> str:
    Accelerator(cpu=True).prepare_model(model, device_placement=False)
    return "prepared"


raises(prepare, "loaded in 8-bit .{0,40}on multiple devices")
