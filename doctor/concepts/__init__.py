"""The ideas behind a fine-tune, a page each: the words are data, the pictures lie in docs/concepts."""

import re
from pathlib import Path
from typing import Dict, List

FOLDER = Path(__file__).parent
# Other words by which people ask for a page.
ALIASES: Dict[str, str] = {
    "8bit": "int8",
    "8-bit": "int8",
    "4bit": "int8",
    "4-bit": "int8",
    "nf4": "int8",
    "qlora": "int8",
    "quantization": "int8",
    "quantisation": "int8",
    "llm.int8": "int8",
    "gradient-checkpointing": "checkpointing",
    "memory": "checkpointing",
    "activations": "checkpointing",
    "fp16": "mixed-precision",
    "bf16": "mixed-precision",
    "tf32": "mixed-precision",
    "fp32": "mixed-precision",
    "amp": "mixed-precision",
    "loss-scaling": "mixed-precision",
    "fan_in_fan_out": "lora",
    "rank": "lora",
}
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")


def topics() -> List[str]:
    """The names of all pages."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def page(name: str) -> str:
    """A page's text for a terminal, where a picture is named by its file. Raises KeyError where there is none."""
    name = ALIASES.get(name.lower(), name.lower())
    if name not in topics():
        raise KeyError(name)
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return PICTURE.sub(r"(Picture: \1, docs/concepts/\2)", text)
