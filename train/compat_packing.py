"""What models and versions of transformers take of packed rows. RUN: 4.46.3 and 5.23.0 with torch 2.13.0, 2026-11-30.

form        4.46.3                                             5.23.0
positions   none (positions make no mask there)                Llama, Qwen2, Qwen3, Mistral, Gemma 1 to 3, Phi, Phi-3,
                                                               GPT-2, GPT-NeoX, GPT-J, GLM, GLM-4, with their windows
mask        Llama, Qwen2, Gemma, Gemma 2, Phi, GPT-NeoX,       Falcon, OPT
            GPT-J, Falcon, GLM; Mistral, Phi-3 and Qwen2 with
            their window drawn into it
neither     GPT-2, OPT, Bloom                                  Bloom (its mask comes from the 2-D one alone)
"""

from typing import Any, List, Optional, Tuple

# In these every layer has the window, and a ready mask is taken as it is, so the window must be in it.
WINDOW_IN_MASK = ("mistral", "phi3", "mixtral")
# These lay the window of each layer over the mask that they are given.
WINDOW_IN_LAYER = ("gemma2",)


def reads_positions() -> bool:
    """True where transformers makes masks from positions that begin anew: masking_utils, since 4.53."""
    try:
        from transformers.masking_utils import find_packed_sequence_indices
    except ImportError:
        return False
    return callable(find_packed_sequence_indices)


def leave_quantised(model: Any) -> None:
    """Have bitsandbytes leave 4-bit weights as they are in a pass that is no training.

    Its Linear4bit (0.50) lays them anew for AVX512-BF16 in the first pass in eval mode on a CPU, and whoever then
    dequantises them, as OLoRA's start does on resuming, gets other numbers.
    """
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.training = True  # which switches nothing else in it


def is_flash(config: Any) -> bool:
    """True for flash attention, which takes no mask of ours."""
    return "flash" in str(getattr(config, "_attn_implementation", ""))


def installed_flash() -> List[str]:
    """transformers' names of the flash attention packages that are installed and that it would use here."""
    from transformers import utils

    found = []
    for name, asked in (
        ("flash_attention_3", "is_flash_attn_3_available"),
        ("flash_attention_2", "is_flash_attn_2_available"),
    ):
        available = getattr(utils, asked, None)
        if available is not None and available():
            found.append(name)
    return found


def configs_of(model: Any) -> List[Any]:
    """Every configuration that a layer may ask for its attention, each once."""
    found = {id(module.config): module.config for module in model.modules() if hasattr(module, "config")}
    return [config for config in found.values() if hasattr(config, "_attn_implementation")]


def window_of(config: Any) -> Optional[int]:
    """How many tokens back the model's attention reaches, where that is bounded."""
    if getattr(config, "use_sliding_window", True) is False:  # Qwen writes a window that it does not use
        return None
    window = getattr(config, "sliding_window", None)
    return int(window) if window else None


def window_in_mask(config: Any, window: Optional[int], max_length: int) -> Tuple[bool, bool]:
    """Whether a 4-D mask can serve at this length, and whether the window must be drawn into it."""
    if window is None or window >= max_length:
        return True, False
    kind = config.model_type
    return kind in WINDOW_IN_MASK or kind in WINDOW_IN_LAYER, kind in WINDOW_IN_MASK
