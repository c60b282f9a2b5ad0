"""2d: is an adapter_model.bin that lies in the output folder replaced when the adapter is saved there anew?"""

from pathlib import Path

import _borrowed  # noqa: F401
from _adapter import fresh, tensors, train
from _verdict import finish

model, folder = fresh(), Path("out")
folder.mkdir()
(folder / "adapter_model.bin").write_bytes(b"of an earlier run")
train(model)
model.save_pretrained(str(folder))
stale = (folder / "adapter_model.bin").read_bytes() == b"of an earlier run"
if stale:
    assert len(tensors(folder / "adapter_model.safetensors")) == 8
finish(
    stale,
    f"adapter_model.bin is {'as before' if stale else 'new'}: {sorted(p.name for p in folder.iterdir())}",
)
