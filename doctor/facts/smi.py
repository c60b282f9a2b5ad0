"""nvidia-smi, asked last and only where NVML and libcuda told nothing: it hangs where they hang, and prints text."""

import re
from typing import Dict, List, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.gpu import short_address
from envdoc.doctor.facts.snapshot import Gpu

TIMEOUT_SECONDS = 10.0
QUICK_TIMEOUT_SECONDS = 1.5
_FIELDS = ("index", "name", "driver_version", "memory.total", "memory.used", "pci.bus_id", "compute_mode")
_NEWER_FIELDS = ("compute_cap", "mig.mode.current", "ecc.mode.current")  # compute_cap came with driver 510
_LISTED = re.compile(r"^GPU (\d+): (.+?) \(UUID", re.MULTILINE)
_ROW = re.compile(r"^\|\s+(\d+)\s+(\S.*?)\s+(?:On|Off|N/A)\s+\|", re.MULTILINE)
_DRIVER = re.compile(r"Driver Version: (\d+(?:\.\d+)+)")
_CUDA = re.compile(r"CUDA Version: (\d+\.\d+)")
_MIB = 1 << 20  # what --format=nounits leaves out


def ask(program: str, quick: bool = False) -> Tuple[str, Tuple[Gpu, ...], str, str]:
    """The driver version, the GPUs, where there are none the sentence that says what nvidia-smi did, and the CUDA.

    The query is the sound way. Where it gives no rows (a wrapper that knows fewer options, an old release), what is
    printed without options and with -L is read.
    """
    limit = QUICK_TIMEOUT_SECONDS if quick else TIMEOUT_SECONDS
    problem = ""
    for fields in (_FIELDS + _NEWER_FIELDS, _FIELDS):
        query = [program, "--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits"]
        try:
            completed = run(query, limit)
        except EnvdocError as error:
            return "", (), error.message, ""
        if completed.timed_out:
            return "", (), f"`nvidia-smi` did not answer within {limit:g} s.", ""
        rows = _rows(completed.stdout, fields)
        if rows:
            return rows[0]["driver_version"], tuple(_gpu(row) for row in rows), "", ""
        problem = problem or _said(completed.stdout + completed.stderr, completed.returncode)
        if "is not a valid field" not in completed.stdout + completed.stderr:
            break
    version, gpus, cuda = _printed(program, completed.stdout, limit)
    return version, gpus, "" if gpus else problem, cuda


def _printed(program: str, text: str, limit: float) -> Tuple[str, Tuple[Gpu, ...], str]:
    """Driver, GPUs and CUDA from the table and the list that people read."""
    for options in ([], ["-L"]):
        if _LISTED.search(text) or _ROW.search(text):
            break
        try:
            text += "\n" + run([program, *options], limit).stdout
        except EnvdocError:
            break
    version, cuda = _DRIVER.search(text), _CUDA.search(text)
    rows = [(int(n), name) for n, name in _LISTED.findall(text)] or [
        (int(n), name) for n, name in _ROW.findall(text)
    ]
    gpus = {index: Gpu(index=index, name=name.strip()) for index, name in rows}
    return version.group(1) if version else "", tuple(gpus.values()), cuda.group(1) if cuda else ""


def _rows(output: str, fields: Tuple[str, ...]) -> List[Dict[str, str]]:
    """The lines that are rows of the query; warnings and bytes of any kind between them are passed over."""
    rows = []
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == len(fields) and cells[0].isdigit():
            rows.append(dict(zip(fields, cells)))
    return rows


def _gpu(row: Dict[str, str]) -> Gpu:
    modes = {"Enabled": True, "Disabled": False}
    return Gpu(
        index=int(row["index"]),
        name=row["name"],
        capability=row.get("compute_cap", "") if row.get("compute_cap", "")[:1].isdigit() else "",
        memory_bytes=_mebibytes(row["memory.total"]),
        memory_used_bytes=_mebibytes(row["memory.used"]) if row["memory.used"].isdigit() else None,
        mig_enabled=modes.get(row.get("mig.mode.current", "")),
        ecc_enabled=modes.get(row.get("ecc.mode.current", "")),
        pci_address=short_address(row["pci.bus_id"]),
        compute_mode=row["compute_mode"].lower(),
    )


def _mebibytes(cell: str) -> int:
    return int(cell) * _MIB if cell.isdigit() else 0


def _said(output: str, code: int) -> str:
    line = next((line.strip() for line in output.splitlines() if line.strip()), "")
    return f"`nvidia-smi` ended with exit status {code} and told no GPU" + (
        f": {line[:200]}" if line else "."
    )
