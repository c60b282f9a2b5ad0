"""Two adapters side by side: what only one has, what differs in shape, and how far the numbers are apart, by layer."""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.adapter.folder import AdapterFolder
from envdoc.doctor.adapter.names import clean, parse
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.weights.archive import Tensor
from envdoc.doctor.weights.numbers import apart

SHOWN = 40


@dataclass(frozen=True)
class Row:
    """One tensor in which the two differ. `state` is "only first", "only second", "shape", "dtype" or "values"."""

    name: str
    layer: str
    state: str
    detail: str = ""
    norm: Optional[float] = None  # of the difference
    relative: Optional[float] = None  # of the first one's norm
    largest: Optional[float] = None  # difference of two numbers

    def line(self) -> str:
        """The row as text."""
        if self.state != "values":
            return f"{self.state}: {self.name}{f' ({self.detail})' if self.detail else ''}"
        share = "" if self.relative is None else f", {self.relative:.3g} of its norm"
        return f"values: {self.name}: max |diff| {self.largest:.3g}, norm of the difference {self.norm:.3g}{share}"


@dataclass(frozen=True)
class Comparison:
    """All rows, and the keys of the configs that differ: (key, first, second)."""

    first: str
    second: str
    compared: int
    rows: Tuple[Row, ...]
    config: Tuple[Tuple[str, Any, Any], ...]
    renamed: int = 0  # tensors whose names differ only by an adapter's own name

    @property
    def equal(self) -> bool:
        """Whether the two are the same adapter."""
        return not self.rows and not self.config

    def to_json(self) -> Dict[str, Any]:
        """The comparison as a JSON document. A norm that is not finite is told as a text."""
        return {
            "schema_version": 1,
            "first": self.first,
            "second": self.second,
            "equal": self.equal,
            "compared": self.compared,
            "renamed": self.renamed,
            "config": [{"key": key, "first": one, "second": other} for key, one, other in self.config],
            "tensors": [{key: _plain(value) for key, value in vars(row).items()} for row in self.rows],
            "layers": [{"layer": name, **found} for name, found in self.layers()],
        }

    def layers(self) -> List[Tuple[str, Dict[str, Any]]]:
        """Of each layer that differs: how many tensors, and the largest difference."""
        found: Dict[str, Dict[str, Any]] = {}
        for row in self.rows:
            one = found.setdefault(row.layer, {"tensors": 0, "largest": None})
            one["tensors"] += 1
            if row.largest is not None and (one["largest"] is None or not row.largest <= one["largest"]):
                one["largest"] = _plain(row.largest)
        return list(found.items())

    def lines(self) -> List[str]:
        """The comparison as text, the widest apart first."""
        lines = [f"config: {key}: {one!r} -> {other!r}" for key, one, other in self.config]
        order = sorted(self.rows, key=lambda row: (row.state == "values", -(row.relative or 0.0), row.name))
        lines += [row.line() for row in order[:SHOWN]]
        if len(order) > SHOWN:
            lines.append(f"... and {len(order) - SHOWN} tensors more; `--format json` lists them all")
        if self.renamed:
            lines.append(f"note: {self.renamed} names differ only by the adapter's own name, as `.default.`")
        if self.equal:
            lines.append(f"The two are the same: {self.compared} tensors, number by number.")
        else:
            values = sum(1 for row in self.rows if row.state == "values")
            lines.append(
                f"They differ: {len(self.rows) - values} tensors in name or shape, {values} of {self.compared} in "
                f"their numbers, {len(self.config)} keys of the config."
            )
        return lines


def compare(first: AdapterFolder, second: AdapterFolder) -> Comparison:
    """Every tensor of the files that are loaded, one at a time. Raises EnvdocError where a file cannot be read."""
    mine, yours = _tensors(first), _tensors(second)
    rows = [Row(name, _layer(name), "only first") for name in sorted(set(mine) - set(yours))]
    rows += [Row(name, _layer(name), "only second") for name in sorted(set(yours) - set(mine))]
    both = sorted(set(mine) & set(yours))
    for name in both:
        row = _row(name, mine[name], yours[name])
        if row is not None:
            rows.append(row)
    renamed = sum(1 for name in both if mine[name].name != yours[name].name)
    configs = _configs(first.config or {}, second.config or {})
    return Comparison(str(first.path), str(second.path), len(both), tuple(rows), configs, renamed)


def _tensors(folder: AdapterFolder) -> Dict[str, Tensor]:
    main = folder.main
    if main is None:
        raise EnvdocError(f"There is no adapter file in `{folder.path}`.")
    if main.problem:
        raise EnvdocError(f"`{main.path}` cannot be compared: {main.problem}.")
    return {clean(name): tensor for name, tensor in main.tensors.items()}


def _row(name: str, one: Tensor, other: Tensor) -> Optional[Row]:
    if one.shape != other.shape:
        return Row(name, _layer(name), "shape", f"{list(one.shape)} and {list(other.shape)}")
    try:
        found = apart(one, other)
    except ValueError as error:
        return (
            None
            if one.dtype == other.dtype and _same(one, other)
            else Row(name, _layer(name), "dtype", str(error))
        )
    except OSError as error:
        raise EnvdocError(f"`{name}` cannot be read: {error}.") from error
    if found.norm == 0.0:
        if one.dtype == other.dtype:
            return None
        return Row(name, _layer(name), "dtype", f"{one.dtype} and {other.dtype}, the same numbers")
    relative = found.norm / found.of_first if found.of_first else None
    return Row(name, _layer(name), "values", "", found.norm, relative, found.largest)


def _same(one: Tensor, other: Tensor) -> bool:
    return all(mine == yours for mine, yours in zip(one.read(), other.read()))


def _layer(name: str) -> str:
    return parse(name).module


def _configs(one: Mapping[str, Any], other: Mapping[str, Any]) -> Tuple[Tuple[str, Any, Any], ...]:
    """The keys that differ; lists that peft makes of sets have no order."""
    keys = sorted(set(one) | set(other))
    return tuple(
        (key, one.get(key), other.get(key)) for key in keys if _bag(one.get(key)) != _bag(other.get(key))
    )


def _bag(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
