"""Where numbers ceased to be numbers: the forward pass once more, each module's output looked at."""

import copy
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import torch

FP16_MAX = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Fault:
    """The first module, in the order of execution, whose output is not finite."""

    module: str  # its path in the base model; "" is the model itself
    kind: str  # its class
    inputs_finite: bool
    weights_finite: bool
    dtype: torch.dtype  # of the output
    fp32_largest: Optional[float] = None  # of the same module and inputs in fp32, where that is finite

    @property
    def overflow(self) -> bool:
        """True where fp32 gives a finite number that fp16 cannot hold."""
        return self.dtype == torch.float16 and self.fp32_largest is not None and self.fp32_largest > FP16_MAX

    def sentence(self) -> str:
        """The fault in words."""
        told = f"The first output that is not finite is that of `{self.module or 'the model itself'}` ({self.kind})"
        if not self.weights_finite:
            return f"{told}, whose weights are not finite" + (
                f" in fp16, which ends at {FP16_MAX:.0f}." if self.dtype == torch.float16 else "."
            )
        if not self.inputs_finite:
            return f"{told}, whose input was not finite already."
        told += "; its input and its weights are finite"
        if self.overflow:
            reached = f"in fp32 it reaches {self.fp32_largest:.3g}"
            return f"{told}: it overflowed fp16, which ends at {FP16_MAX:.0f}; {reached}."
        if self.dtype == torch.float16:
            return f"{told}; it was computed in fp16, which ends at {FP16_MAX:.0f}."
        return f"{told}."

    def hint(self) -> str:
        """What mends it, most likely."""
        if not self.weights_finite and "lora_" not in self.module:
            if self.dtype == torch.float16:
                return (
                    "Use `model.dtype=bf16` (or fp32): weights beyond that are infinite in fp16. If it ends there too, "
                    "the base model itself is damaged."
                )
            return "The base model itself is damaged: load it anew and compare its files' hashes with their source."
        if self.overflow or self.dtype == torch.float16:
            return "Use `model.dtype=bf16` (or fp32), whose range is that of fp32."
        return "Lower `train.learning_rate`."


def first_fault(forward: Callable[[], Any], model: torch.nn.Module) -> Optional[Fault]:
    """Call `forward`, which must run `model` as it ran before, and find the first output that is not finite.

    Hooks see a module when it ends, so the innermost comes first: a layer before the block that holds it, and a
    block alone where its own arithmetic is at fault (a softmax, a residual sum). None where every output is finite.
    """
    found: List[Tuple[str, torch.nn.Module, Any, Dict[str, Any], torch.Tensor]] = []

    def watch(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, inputs: Any, named: Dict[str, Any], output: Any) -> None:
            if not found:
                bad = next((tensor for tensor in _tensors(output) if not _finite(tensor)), None)
                if bad is not None:
                    found.append((name, module, inputs, named, bad))

        return hook

    handles = [
        module.register_forward_hook(watch(name), with_kwargs=True) for name, module in model.named_modules()
    ]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        return None
    name, module, inputs, named, output = found[0]
    named = {key: value for key, value in named.items() if "mask" not in key}  # -inf is at home there
    weights = [*module.parameters(), *module.buffers()]
    fault = Fault(
        module=name.replace("base_model.model.", "", 1),
        kind=type(module).__name__,
        inputs_finite=all(map(_finite, _tensors((inputs, named)))),
        weights_finite=all(_finite(weight) for weight in weights if weight.is_floating_point()),
        dtype=output.dtype,
    )
    if not (fault.inputs_finite and fault.weights_finite and fault.dtype == torch.float16):
        return fault
    return Fault(**{**vars(fault), "fp32_largest": _largest_in_fp32(module, found[0][2], found[0][3])})


def first_gradient(model: torch.nn.Module) -> Optional[str]:
    """The name of the first weight whose gradient is not finite."""
    for name, weight in model.named_parameters():
        if weight.grad is not None and not _finite(weight.grad):
            return name.replace("base_model.model.", "", 1)
    return None


def _largest_in_fp32(module: torch.nn.Module, inputs: Any, named: Dict[str, Any]) -> Optional[float]:
    """The largest absolute output of a copy in fp32; None where it is not finite or the module cannot be copied."""
    try:
        again = copy.deepcopy(module).float()
        device = next(iter(_tensors((inputs, named)))).device.type
        with torch.no_grad(), torch.autocast(device, enabled=False):
            outputs = list(_tensors(again(*_float(inputs), **_float(named))))
    except Exception:  # quantised layers refuse fp32, and memory may be short: then the dtype has to say it
        return None
    if not outputs or not all(map(_finite, outputs)):
        return None
    return max(float(tensor.abs().max()) for tensor in outputs if tensor.numel())


def _finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every floating tensor in nested tuples, lists and dictionaries (a ModelOutput is one)."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tensors(inner)


def _float(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _float(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_float(inner) for inner in value)
    return value
