"""The base model and its tokenizer; adapters.py lays the adapter on it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict

import torch

from envdoc.train import compat, glm
from envdoc.train.config import Model
from envdoc.train.errors import ConfigError, ModelError, first_line
from envdoc.train.fingerprint import code_sha256
from envdoc.train.parallel import world

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
ADAPTER = "default"  # peft's own name for a single adapter


@dataclass(frozen=True)
class Precision:
    """On what and in what the run computes."""

    device: torch.device
    dtype: str  # "bf16", "fp16" or "fp32"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of the base's weights, or of the computation over a quantised base."""
        return DTYPES[self.dtype]


def choose_precision(model: Model) -> Precision:
    """The device and dtype of the run. Raises ConfigError where the device cannot do what is asked."""
    if not torch.cuda.is_available():
        if model.dtype == "fp16":
            raise ConfigError(
                "`model.dtype` is fp16, and torch sees no GPU: loss scaling in fp16 needs one.",
                "Use `model.dtype=fp32` (or bf16) here; if this machine has a GPU, `envdoc check` says why "
                "torch does not see it.",
            )
        return Precision(torch.device("cpu"), "fp32" if model.dtype == "auto" else model.dtype)
    has_bf16 = torch.cuda.get_device_capability(0) >= (8, 0)  # below, it is emulated and slow
    if model.dtype == "bf16" and not has_bf16:
        raise ConfigError(
            f"`model.dtype` is bf16, which {torch.cuda.get_device_name(0)} (compute capability "
            f"{'.'.join(map(str, torch.cuda.get_device_capability(0)))}) cannot do; it takes 8.0 or newer.",
            "Use `model.dtype=fp16`.",
        )
    chosen = model.dtype if model.dtype != "auto" else "bf16" if has_bf16 else "fp16"
    return Precision(torch.device("cuda", 0), chosen)


def set_tf32(model: Model, precision: Precision) -> None:
    """Let fp32 matrices be multiplied in TF32, or not. Raises ConfigError where the device has none.

    It concerns fp32 runs alone: in bf16 and fp16 runs, autocast multiplies in 16 bits anyway.
    """
    if model.tf32 == "on" and (
        precision.device.type != "cuda" or torch.cuda.get_device_capability(precision.device) < (8, 0)
    ):
        name = torch.cuda.get_device_name(0) if precision.device.type == "cuda" else "a CPU"
        raise ConfigError(
            f"`model.tf32` is on, and the run computes on {name}; TF32 takes a GPU of compute capability 8.0 or newer.",
            "Use `model.tf32=auto`.",
        )
    if model.tf32 != "auto":
        compat.set_tf32(model.tf32 == "on")


def check_folder(model: Model) -> Path:
    """The base's folder, absolute. Raises ModelError where it is no model, or holds code that nobody agreed to."""
    folder = Path(model.path).expanduser().absolute()
    if not folder.is_dir():
        raise ModelError(
            f"There is no model folder `{model.path}`.",
            "envdoc downloads no model: name a local folder with config.json, a tokenizer and weights.",
        )
    try:
        described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"`{folder}` has no config.json, so it is no model folder.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"`{folder}/config.json` cannot be read: {error}.") from None
    if "auto_map" in described:
        _agree_to_code(model, folder, described["auto_map"])
    return folder


def _agree_to_code(model: Model, folder: Path, auto_map: Any) -> None:
    pinned = code_sha256(folder)
    if any("--" in str(target) for target in auto_map.values()):
        raise ModelError(
            f"`{folder}/config.json` takes its code from another repository ({sorted(auto_map.values())[0]}).",
            "Put the code into the folder itself; envdoc downloads none.",
        )
    if not model.trust_remote_code:
        raise ModelError(
            f"The model in `{folder}` runs Python code of its own.",
            f"Read its .py files; then agree with `model.trust_remote_code=true model.revision={pinned}`.",
        )
    if model.revision != pinned:
        raise ModelError(
            f"`model.revision` is {model.revision}, and the code in `{folder}` is {pinned}.",
            "Read what changed, then pin the second.",
        )


def load_tokenizer(folder: Path, model: Model) -> Any:
    """The tokenizer of the base. Raises ModelError with the library's own reason."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=model.trust_remote_code
        )
    except (Exception, RecursionError) as error:
        raise ModelError(
            f"The tokenizer in `{folder}` cannot be loaded: {first_line(error)}",
            "`envdoc check` knows the common faults of tokenizer files.",
        ) from None


def load_base(folder: Path, model: Model, precision: Precision) -> Any:
    """The frozen base on its device, quantised where asked (`check_quantisation` first). Raises ModelError."""
    from transformers import AutoConfig, BitsAndBytesConfig

    code = {"local_files_only": True, "trust_remote_code": model.trust_remote_code}
    arguments: Dict[str, Any] = {**code, **compat.dtype_argument(precision.torch_dtype)}
    # FSDP cuts weights of one dtype only, so that the 4 bits must lie in what the norms are
    storage = {"bnb_4bit_quant_storage": precision.torch_dtype} if world.sharded() else {}
    if model.quantization == "8bit":
        compat.eight_bit_state()
    if model.quantization != "none":
        arguments["quantization_config"] = BitsAndBytesConfig(
            load_in_8bit=model.quantization == "8bit",
            load_in_4bit=model.quantization == "4bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=precision.torch_dtype,
            **storage,
        )
        arguments["device_map"] = {"": "cpu" if precision.device.type == "cpu" else precision.device.index}
    try:
        described = AutoConfig.from_pretrained(str(folder), **code)
        kind = compat.remote_class(described)
        base, told = kind.from_pretrained(str(folder), output_loading_info=True, **arguments)
    except compat.out_of_memory():
        raise ModelError(
            f"The base model in `{folder}` does not fit into the GPU's memory.",
            "Try `model.quantization=4bit`; `nvidia-smi` shows who else uses the GPU.",
        ) from None
    except Exception as error:  # whatever a loader raises: OSError, ValueError, KeyError, SafetensorError...
        raise ModelError(f"The base model in `{folder}` cannot be loaded: {first_line(error)}") from None
    if model.quantization == "none" and not world.sharded():  # shards are put onto the GPU one after another
        base.to(precision.device)
    _refuse_made_up(base, told["missing_keys"], folder)
    glm.adapt(base, precision.torch_dtype, model.quantization != "none")
    base.config.use_cache = False  # keys and values of past tokens serve generation only
    return base


def _refuse_made_up(base: Any, missing: Any, folder: Path) -> None:
    """Raises ModelError for a weight that no file holds: the library fills it with random numbers and only warns."""
    weights = {name for name, _ in base.named_parameters()}
    made_up = sorted(weights.intersection(missing))
    if made_up:
        raise ModelError(
            f"{len(made_up)} of {len(weights)} weights of the base model are in no file of `{folder}`, for one "
            f"`{made_up[0]}`; they would be random numbers.",
            "Copy the model's files again, all of them; `envdoc check --model` looks into such a folder.",
        )


def check_quantisation(kind: str, precision: Precision) -> None:
    """Run one quantised layer forward and backward where the model will be. Raises ModelError with the reason.

    bitsandbytes 0.50 computes on a CPU, 0.45 and older on CUDA only; a build without this CUDA version's library
    imports and fails at the first call. Only running it tells.
    """
    try:
        import bitsandbytes as bnb

        if kind == "4bit":
            layer = bnb.nn.Linear4bit(
                64,
                64,
                bias=False,
                compute_dtype=precision.torch_dtype,
                quant_type="nf4",
                compress_statistics=True,
            )
        else:
            layer = bnb.nn.Linear8bitLt(64, 64, bias=False, has_fp16_weights=False)
        layer = layer.to(precision.device)
        seen = torch.randn(4, 64, device=precision.device, dtype=precision.torch_dtype, requires_grad=True)
        layer(seen).float().sum().backward()
        works = seen.grad is not None and bool(torch.isfinite(seen.grad).all())
        reason = "its gradients are not finite"
    except (
        Exception,
        SystemExit,
    ) as error:  # a missing library raises RuntimeError, OSError, AttributeError...
        works, reason = False, first_line(error).rstrip(".")
    if not works:
        on_cpu = precision.device.type == "cpu"
        raise ModelError(
            f"`model.quantization` is {kind}, and bitsandbytes {compat.version_of('bitsandbytes') or '(missing)'} "
            f"with torch {torch.__version__} does not work on {precision.device.type}: {reason}.",
            "Use `model.quantization=none`, or let `envdoc fix` build an environment whose bitsandbytes works."
            + (" On a CPU 0.50 does; 0.45 and older do not." if on_cpu else ""),
        )
