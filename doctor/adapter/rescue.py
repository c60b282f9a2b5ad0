"""A new folder with the names that peft loads, from one whose names carry the adapter's own name.

The numbers are copied as they are. Safetensors are written anew; a .bin keeps its form, since peft 0.3 reads nothing
else: only the texts of its pickle change, and nothing of it is ever run. The folder it comes from is not touched.
"""

import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, List, Mapping, Tuple

from envdoc.doctor.adapter.folder import AdapterFolder
from envdoc.doctor.adapter.names import clean
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.files import open_file, read_bytes
from envdoc.doctor.weights import safetensors
from envdoc.doctor.weights.archive import Archive
from envdoc.doctor.weights.opcodes import follow
from envdoc.doctor.weights.pickled import UNREADABLE, pickle_name

MOST_OTHER_BYTES = 1 << 26
_HEADS = {"BINUNICODE": 5, "SHORT_BINUNICODE": 2}


def rescue(folder: AdapterFolder, out: Path) -> Tuple[int, Path]:
    """Write `out` and return how many names changed, and the file of weights there.

    Raises EnvdocError where there is nothing to rescue, where `out` exists, or where the file cannot be carried over.
    """
    main = folder.main
    if main is None or main.problem or not main.tensors:
        raise EnvdocError(
            f"Nothing in `{folder.path}` can be rescued: {_why(main)}.",
            "What was never saved is in no file; train again, and save with `model.save_pretrained`.",
        )
    if main.faults or main.foreign:
        raise EnvdocError(f"`{main.path.name}` is not carried over: {(main.faults or main.foreign)[0]}.")
    names = {name: clean(name) for name in main.tensors}
    if len(set(names.values())) != len(names):
        raise EnvdocError(f"`{main.path.name}` holds more than one adapter, whose names would fall together.")
    changed = sum(1 for name, new in names.items() if name != new)
    if not changed:
        raise EnvdocError(
            f"The names in `{main.path.name}` are as peft saves them; there is nothing to rescue."
        )
    if out.exists() or out.is_symlink():
        raise EnvdocError(
            f"`{out}` is there already, and nothing is ever written over.", "Name a new folder."
        )
    building = _folder_beside(out)
    try:
        target = building / main.path.name
        _write(main, names, target)
        _copy_rest(folder.path, building, {archive.path.name for archive in folder.archives})
        building.chmod(0o755)
        building.rename(out)
    except UNREADABLE as error:
        shutil.rmtree(building, ignore_errors=True)
        raise EnvdocError(f"`{out}` could not be written: {error}.", "Nothing was left there.") from error
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return changed, out / main.path.name


def _why(main: "Archive | None") -> str:
    if main is None:
        return "there is no adapter file"
    return main.problem or "its adapter file has no tensor in it"


def _folder_beside(out: Path) -> Path:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise EnvdocError(f"`{out}` could not be made: {error.strerror or error}.") from error


def _write(main: Archive, names: Mapping[str, str], target: Path) -> None:
    if main.form == "safetensors":
        pairs = [(names[name], tensor) for name, tensor in main.tensors.items()]
        safetensors.write(target, pairs, main.metadata or {"format": "pt"})
        return
    with open_file(main.path) as raw:
        try:
            archive = zipfile.ZipFile(io.BufferedReader(raw))
        except zipfile.BadZipFile:
            raise ValueError(
                f"{main.path.name} is of torch before 1.6; load it with `weights_only=True` and save it again"
            ) from None
        with archive, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as made:
            pickle = pickle_name(archive)
            for info in archive.infolist():
                entry = zipfile.ZipInfo(info.filename, info.date_time)
                with archive.open(info) as source, made.open(entry, "w", force_zip64=True) as sink:
                    if info.filename == pickle:
                        sink.write(renamed(source.read(), names))
                    else:
                        shutil.copyfileobj(source, sink, 1 << 20)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def renamed(pickle: bytes, names: Mapping[str, str]) -> bytes:
    """The pickle with other texts. A text stands once, behind its length; later uses refer to it by number.

    Raises ValueError where the pickle is framed (protocol 4), which torch.save does not write.
    """
    if b"\x95" == pickle[2:3]:
        raise ValueError("its pickle has frames, which torch.save does not write")
    parts: List[bytes] = []
    place = 0
    done: Dict[str, str] = {}
    for start, opcode, text in follow(pickle).texts:
        new = names.get(text, text)
        if new == text:
            continue
        if opcode not in _HEADS:
            raise ValueError(f"its pickle has a name as {opcode}")
        length = len(text.encode("utf-8", "surrogatepass"))
        parts.append(pickle[place:start])
        data = new.encode("utf-8", "surrogatepass")
        parts.append(b"X" + len(data).to_bytes(4, "little") + data)
        place = start + _HEADS[opcode] + length
        done[text] = new
    if any(new != old and old not in done for old, new in names.items()):
        raise ValueError("a name of its pickle was not found")
    return b"".join([*parts, pickle[place:]])


def _copy_rest(source: Path, target: Path, weights: "set[str]") -> None:
    """The small files beside the weights: config, tokenizer, README. A receipt is of other bytes, and stays away."""
    for path in sorted(source.iterdir()):
        if path.name in weights or path.name.startswith(".") or not path.is_file():
            continue
        if path.name == "envdoc-receipt.json" or path.suffix in (".bin", ".pt", ".pth", ".safetensors"):
            continue
        if path.stat().st_size <= MOST_OTHER_BYTES:
            (target / path.name).write_bytes(read_bytes(path, MOST_OTHER_BYTES))
