"""The versions that packages ask of others in their own source, where pip does not look.

transformers keeps them as `BITSANDBYTES_MIN_VERSION = "0.46.1"`, peft as `TORCHAO_MINIMUM_VERSION =
packaging.version.parse("0.16.0")` inside the function that asks. Each file is read as text and never run. What
transformers asks of torch, and its table of versions (accelerate is in it), are in constraints.py.
"""

import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

from envdoc.doctor.facts.binaries import find_package
from envdoc.doctor.facts.snapshot_packages import CodeFloor
from envdoc.doctor.files import read_bytes

_LIMIT_BYTES = 1 << 18
# `NAME_MIN_VERSION = "1.2"`, `MIN_NAME_VERSION = "1.2"`, `NAME_MINIMUM_VERSION = packaging.version.parse("1.2")`
_CONSTANT = re.compile(
    r"^[ \t]*([A-Z0-9_]*MIN(?:IMUM)?_[A-Z0-9_]*VERSION|[A-Z0-9_]+_MINIMUM_VERSION)[ \t]*=[ \t]*"
    r"(?:(?:packaging\.)?version\.parse\()?[\"']([0-9][0-9a-z.]*)[\"']",
    re.MULTILINE,
)
_PREFIX = re.compile(r"^MIN(?:IMUM)?_|_MIN(?:IMUM)?(?=_VERSION)|_VERSION$")


class _Source(NamedTuple):
    package: str
    file: str
    names: Dict[str, str]  # the constant's word to the package that it speaks about


_QUANTIZERS = {
    "AUTOROUND": "auto-round",
    "BITSANDBYTES": "bitsandbytes",
    "COMPRESSED_TENSORS": "compressed-tensors",
    "GGUF": "gguf",
    "HQQ": "hqq",
    "MISTRAL_COMMON": "mistral-common",
    "SCHEDULEFREE": "schedulefree",
    "TORCHAO": "torchao",
    "VPTQ": "vptq",
}
_SOURCES = (
    _Source("transformers", "utils/import_utils.py", _QUANTIZERS),
    _Source("transformers", "integrations/peft.py", {"PEFT": "peft"}),
    _Source(
        "peft",
        "import_utils.py",
        {"AUTOGPTQ": "auto-gptq", "GPTQMODEL": "gptqmodel", "TORCHAO": "torchao"},
    ),
    _Source("trl", "import_utils.py", {"LIGER_KERNEL": "liger-kernel"}),
)


def code_floors(sys_path: Sequence[str], versions: Dict[str, str]) -> Tuple[CodeFloor, ...]:
    """What the installed packages of the stack ask of others that are installed too.

    `versions` are the installed distributions by normalised name; floors about others are of no use to anybody.
    """
    found: List[CodeFloor] = []
    for source in _SOURCES:
        if source.package not in versions or not set(source.names.values()) & set(versions):
            continue
        folder = find_package(source.package, sys_path)
        text = _text(folder / source.file) if folder is not None else ""
        told = "\n".join(
            line for line in text.splitlines() if "MIN" in line
        )  # a tenth of the time of the whole
        for constant, minimum in dict(_CONSTANT.findall(told)).items():
            name = source.names.get(_PREFIX.sub("", _PREFIX.sub("", constant)))
            if name in versions:
                place = f"{source.package}/{source.file}: {constant}"
                found.append(CodeFloor(source.package, versions[source.package], name or "", minimum, place))
    return tuple(found)


def _text(path: Path) -> str:
    try:
        return read_bytes(path, _LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
