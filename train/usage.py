"""How a finished adapter is used and a run repeated: the same words on the terminal and in the report."""

import shlex
from pathlib import Path
from typing import List, Tuple

HERE = Path(__file__).parent


def commands(adapter: str) -> List[Tuple[str, str]]:
    """Command and purpose, of those commands that this envdoc has."""
    folder = shlex.quote(adapter) if not adapter.startswith("~/") else f"~/{shlex.quote(adapter[2:])}"
    known = [
        ("chat", f"envdoc chat {folder}", "talk to it"),
        ("merge", f"envdoc merge {folder} OUT", "one 16-bit model of base and adapter"),
        ("judge", f"envdoc verify {folder}", "prove it again, here or elsewhere"),
    ]
    return [(command, what) for module, command, what in known if (HERE / f"{module}.py").is_file()]


def python(adapter: str, base: str) -> str:
    """The few lines with which peft loads it."""
    return (
        "from pathlib import Path\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"base = Path({base!r}).expanduser()\n"
        "tokenizer = AutoTokenizer.from_pretrained(base)\n"
        f"model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), {adapter!r})"
    )


def again(run_file: str, has_output: bool) -> str:
    """The command that does the run once more, beside the first."""
    return f"envdoc train {shlex.quote(run_file)} {'output' if has_output else 'name'}=again"
