"""Which torch and which CUDA a distribution says that it was built for: in its files, or in the name of its wheel."""

import re
from pathlib import Path
from typing import Tuple
from urllib.parse import unquote

from envdoc.doctor.facts.binaries import assigned

_LIMIT_BYTES = 1 << 16
# "2.8.3+cu12torch2.8cxx11abiFALSE", as flash-attn, causal-conv1d and mamba-ssm name their wheels; "0.9.1+pt26cu124"
# and "1.2.0+cu124.torch2.5" as others do.
_TORCH = re.compile(r"(?:torch|pt)[-.]?(\d)\.?(\d+)")
_CUDA = re.compile(r"cu(?:da)?(\d\d)\.?(\d)?")

Built = Tuple[str, str, str]  # torch, CUDA, where that is told; empty where nothing tells


def built_for(name: str, version: str, folder: Path, info: str) -> Built:
    """The torch ("2.8" or "2.8.0+cu128") and CUDA ("12" or "12.8") of a build. Reads at most three small files."""
    if name == "xformers":
        text = _text(folder / "xformers" / "cpp_lib.json")
        torch, cuda = _field(text, "torch"), _field(text, "cuda")
        if torch or cuda:
            return torch, _cuda_number(cuda), "xformers/cpp_lib.json"
    if name == "deepspeed":
        text = _text(folder / "deepspeed" / "git_version_info_installed.py")
        match = re.search(r"^torch_info\s*=\s*(\{.*\})", text, re.MULTILINE)
        fields = match.group(1).replace("'", '"') if match else ""
        torch, cuda = _field(fields, "version"), _field(fields, "cuda_version")
        if torch.startswith(("1.", "2.")):  # "0.0" stands in wheels without compiled operators
            return torch, cuda, "deepspeed/git_version_info_installed.py"
    if name in ("torchvision", "torchaudio"):
        own = (
            assigned(_text(folder / name / "version.py"), "__version__") or ""
        )  # "0.24.1+cu128"; METADATA: "0.24.1"
        label = _CUDA.fullmatch(own.partition("+")[2])
        if label:
            return "", ".".join(part for part in label.groups() if part), f"{name}/version.py"
    for text, source in ((version.partition("+")[2], "its version"), (_wheel(info), "the name of its wheel")):
        torch_match, cuda_match = _TORCH.search(text.lower()), _CUDA.search(text.lower())
        if torch_match:
            cuda = ".".join(part for part in cuda_match.groups() if part) if cuda_match else ""
            return f"{torch_match.group(1)}.{torch_match.group(2)}", cuda, source
    return "", "", ""


def _wheel(info: str) -> str:
    """The local version in the file name of the wheel that direct_url.json names (PEP 610)."""
    if not info:
        return ""
    match = re.search(r'"url":\s*"[^"]*/([^/"]+\.whl)', _text(Path(info) / "direct_url.json"))
    parts = unquote(match.group(1)).split("-") if match else []
    return parts[1].partition("+")[2] if len(parts) > 1 else ""


def _field(text: str, name: str) -> str:
    """The value of a string or a number in JSON, without its quotes."""
    match = re.search(rf'"{name}":\s*"?([\w.+]+)', text)
    value = match.group(1) if match else ""
    return "" if value in ("null", "None") else value


def _cuda_number(value: str) -> str:
    """ "12.8" for 1208, as xformers writes it."""
    return f"{int(value) // 100}.{int(value) % 100}" if value.isdigit() and len(value) == 4 else value


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
