"""2b: the seed's ModifiedTrainer.save_model writes named_parameters(); peft's loading passes their keys over.

With `.default` taken out of the keys the same file must load.
"""

from pathlib import Path

import _borrowed
import torch
from _adapter import fresh, is_trained, train
from _verdict import finish


def loads(rescued: bool) -> bool:
    model, folder = fresh(), Path("rescued" if rescued else "modified")
    trained = train(model)
    model.save_pretrained(str(folder))  # for adapter_config.json
    for path in folder.glob("adapter_model*"):
        path.unlink()
    state = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    if rescued:
        state = {name.replace(".default.", "."): tensor for name, tensor in state.items()}
    torch.save(state, str(folder / "adapter_model.bin"))
    return is_trained(folder, trained)


_borrowed.cured(lambda: loads(rescued=True), True)
fault = not loads(rescued=False)
finish(
    fault, "the loaded model has the logits of its base" if fault else "the loaded model is the trained one"
)
