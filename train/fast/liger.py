"""Liger's kernels, where liger-kernel is installed: norms and gated activations of models that fuse.py has no form for.

Liger patches a model that is there already, and two things of it must be undone: it replaces classes and functions in
the model's own module of transformers, for every model of that kind, and it writes over a `forward` that is fused. Both
are put back here. Its fused cross entropy is not taken (loss.py says why).
"""

import inspect
import sys
from typing import Any, Dict, List, Tuple
from weakref import WeakKeyDictionary

from envdoc.train import compat
from envdoc.train.errors import first_line

# What Liger's functions take, and what it is called in the plan.
PARTS = {"rms_norm": "RMSNorm", "layer_norm": "LayerNorm", "swiglu": "SwiGLU", "geglu": "GeGLU"}
BOUND = ("forward", "extra_repr", "_get_name")  # what it binds to a module
# A module -> the names bound to it by Liger. Weak, since a module that is gone leaves its id to the next one.
_taken: "WeakKeyDictionary[Any, Tuple[str, ...]]" = WeakKeyDictionary()


def apply(model: Any) -> Tuple[str, List[str]]:
    """What of Liger's is used now, as part of a sentence ("" for nothing), and notes."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    kind = getattr(base.config, "model_type", "")
    if compat.version_of("liger-kernel") is None:
        return "", []
    try:
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as known
    except Exception as error:  # it imports Triton and half of transformers
        return "", [f"Liger {compat.version_of('liger-kernel')} cannot be loaded: {first_line(error)}"]
    if kind not in known:
        return "", []
    takes = inspect.signature(known[kind]).parameters
    wanted = {name: name in PARTS for name in takes if name != "model"}
    before = {id(module): dict(module.__dict__) for module in base.modules()}
    library = sys.modules[type(base).__module__]
    names = dict(vars(library))
    try:
        known[kind](model=base, **wanted)
    except Exception as error:  # a version that does not fit this transformers
        note = f"Liger {compat.version_of('liger-kernel')} does not fit this model: {first_line(error)}"
        _put_back(base, before, all_of_it=True)
        return "", [note]
    finally:
        vars(library).update(names)
    _put_back(base, before, all_of_it=False)
    # Of what it was asked for, that which no fused forward stands in place of.
    used = sorted({type(module).__name__ for module in base.modules() if "forward" in _taken.get(module, ())})
    return " and ".join(used), []


def undo(model: Any) -> None:
    """Every module without what Liger bound to it."""
    for module in model.modules():
        for name in _taken.pop(module, ()):
            module.__dict__.pop(name, None)


def _put_back(base: Any, before: Dict[int, Dict[str, Any]], all_of_it: bool) -> None:
    """Fused forwards go back into their place; of the rest, what Liger bound is remembered, or taken off again."""
    for module in base.modules():
        was = before[id(module)]
        fresh = tuple(name for name in BOUND if name in module.__dict__ and name not in was)
        if "forward" in was or all_of_it:
            for name in fresh:
                del module.__dict__[name]
            module.__dict__.update({name: was[name] for name in BOUND if name in was})
        elif fresh:
            _taken[module] = fresh
