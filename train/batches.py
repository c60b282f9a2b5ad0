"""Rows as the tensors of one micro-batch, in four layouts, and a micro-batch cut in two.

    padded   a line a row, filled up to the longest: input_ids, labels, attention_mask
    lines    several rows a line (data.packing): input_ids, labels, position_ids
    flat     all rows on one line: the same, and where each row begins (cu_seqlens), for attention of variable length
    tiled    flat, and the tiles of its rows (row_tiles), for attention over short ones; without where one is long

Everything is known on the CPU when it is laid, so that nobody need ask the GPU for it.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy
import torch

from envdoc.train.fast import tiles
from envdoc.train.turns import MASKED, Tokens

PAD_TO = 8  # tensor cores take lengths that are multiples of 8

Batch = Dict[str, Any]  # tensors, and of a flat one `max_seqlen`, a number


def pad(rows: Sequence[Tokens], pad_id: int) -> Batch:
    """One micro-batch: input_ids, attention_mask and labels, each (rows, length) of int64.

    Padding is masked by length and never by its id: where the pad token is also the end token, a mask by id would
    unlearn the end of every answer (transformers #22794).
    """
    batch = _lay([[row] for row in rows], pad_id)
    batch["attention_mask"] = torch.zeros_like(batch["input_ids"])
    for place, row in enumerate(rows):
        batch["attention_mask"][place, : len(row.input_ids)] = 1
    return batch


def lay_packs(packs: Sequence[Sequence[Tokens]], pad_id: int, step: int = PAD_TO) -> Batch:
    """One micro-batch of packs: input_ids, labels and position_ids, each (packs, length) of int64.

    Positions begin at 0 with each row; `packed.py` keeps attention within them. On padding each is 0, a row of its
    own. The first label of a row is MASKED: the token before it belongs to another row.
    """
    batch = _lay(packs, pad_id, step)
    batch["position_ids"] = torch.zeros_like(batch["input_ids"])
    for place, rows in enumerate(packs):
        lengths = numpy.array([len(row.input_ids) for row in rows])
        stops = lengths.cumsum()
        begins = stops - lengths
        within = numpy.arange(stops[-1]) - numpy.repeat(begins, lengths)
        batch["position_ids"][place, : len(within)] = torch.from_numpy(within)
        batch["labels"][place, torch.from_numpy(begins)] = MASKED
    return batch


def lay_flat(rows: Sequence[Tokens], pad_id: int, tiled: bool = False, step: int = PAD_TO) -> Batch:
    """One micro-batch on one line, as attention of variable length takes it.

    input_ids, labels and position_ids are (1, tokens) of int64, as `lay_packs` lays one pack; cu_seqlens (rows + 1)
    of int32 says where each row begins and where the last one ends; max_seqlen is the longest row's tokens, a plain
    number. What fills the line up to a multiple of PAD_TO counts as one row more in both, and is masked as ever.
    Of a `tiled` line row_tiles is (tiles, 3) of int32 (fast/tiles.py), where no row has more than tiles.LONGEST tokens.
    With a larger `step` than PAD_TO the line is filled up to a multiple of that, by rows of a tile each, and its table
    of tiles is filled up too: few sizes of lines, each of which can be recorded (fast/graphs.py).
    """
    return _flat(lay_packs([rows], pad_id, step), [len(row.input_ids) for row in rows], tiled, step > PAD_TO)


def useful_tokens(batch: Batch) -> int:
    """Tokens of a micro-batch that are no padding."""
    if "attention_mask" in batch:
        return int(batch["attention_mask"].sum())
    positions = batch["position_ids"]
    begins = (positions[:, :-1] == 0) & (positions[:, 1:] == 1)  # a row has two tokens or more
    return int((positions > 0).sum() + begins.sum())


def answer_tokens(batch: Batch) -> int:
    """Labels of a micro-batch that are learnt: the first token of a line is never predicted."""
    return int((batch["labels"][:, 1:] != MASKED).sum())


def halve(batch: Batch) -> Optional[Tuple[Batch, Batch]]:
    """The micro-batch in two, each padded no further than it needs; None for a single row.

    By units, so that the halves of 8 are those that the loader makes with a batch size of 4, byte for byte; a single
    pack or a flat line where its row that begins nearest to the middle begins.
    """
    units = len(batch["input_ids"])
    if units > 1:
        first, second = ({name: part[half] for name, part in batch.items()} for half in _halves(units))
        return _trimmed(first), _trimmed(second)
    if "position_ids" not in batch:
        return None
    useful = useful_tokens(batch)
    begins = [int(place) for place in (batch["position_ids"][0] == 0).nonzero() if place < useful]
    if len(begins) < 2:
        return None
    cut = min(begins[1:], key=lambda place: abs(2 * place - useful))
    lines = {name: batch[name] for name in ("input_ids", "labels", "position_ids")}
    first = _trimmed({name: part[:, :cut] for name, part in lines.items()})
    second = _trimmed({name: part[:, cut:] for name, part in lines.items()})
    if "cu_seqlens" not in batch:
        return first, second
    lengths = [stop - start for start, stop in zip(begins, [*begins[1:], useful])]
    rows, tiled = begins.index(cut), "row_tiles" in batch
    return _flat(first, lengths[:rows], tiled), _flat(second, lengths[rows:], tiled)


def _lay(packs: Sequence[Sequence[Tokens]], pad_id: int, step: int = PAD_TO) -> Batch:
    """Ids and labels end to end, a line a pack, filled up to a multiple of `step`."""
    lengths = [sum(len(row.input_ids) for row in rows) for rows in packs]
    length = _padded(max(lengths), step)
    input_ids = torch.full((len(packs), length), pad_id, dtype=torch.int64)
    labels = torch.full((len(packs), length), MASKED, dtype=torch.int64)
    for place, rows in enumerate(packs):
        input_ids[place, : lengths[place]] = _joined([row.input_ids for row in rows])
        labels[place, : lengths[place]] = _joined([row.labels for row in rows])
    return {"input_ids": input_ids, "labels": labels}


def _joined(parts: List[Sequence[int]]) -> torch.Tensor:
    return torch.from_numpy(numpy.concatenate([numpy.asarray(part, dtype=numpy.int64) for part in parts]))


def _flat(line: Batch, lengths: List[int], tiled: bool, even: bool = False) -> Batch:
    """A single line of rows of those lengths, where each begins, and their tiles; few sizes of tables where `even`."""
    tokens = line["input_ids"].shape[1]
    filled, most = tokens - sum(lengths), tiles.TILE if even else PAD_TO
    whole = [*lengths, *[most] * (filled // most), *[filled % most] * (filled % most > 0)]
    begins = torch.zeros(len(whole) + 1, dtype=torch.int32)
    begins[1:] = torch.tensor(whole).cumsum(0)
    laid = {"row_tiles": tiles.of(whole)} if tiled and max(whole) <= tiles.LONGEST else {}
    if laid and even:
        laid["row_tiles"] = tiles.filled(laid["row_tiles"], tiles.step_of(tokens))
    return {**line, "cu_seqlens": begins, "max_seqlen": max(whole), **laid}


def _trimmed(batch: Batch) -> Batch:
    """Without the padding that only the other half needed; filled up where a cut left no multiple of PAD_TO."""
    if "attention_mask" in batch:
        longest = int(batch["attention_mask"].sum(dim=1).max())
    else:
        inside = batch["position_ids"] > 0
        longest = 1 + max(int(row.nonzero().max()) for row in inside)
    length = _padded(longest)
    short = max(0, length - batch["input_ids"].shape[1])
    fills = {"labels": MASKED}
    return {
        name: torch.nn.functional.pad(part[:, :length], (0, short), value=fills.get(name, 0))
        for name, part in batch.items()
    }


def _halves(units: int) -> Tuple[slice, slice]:
    return slice(0, -(-units // 2)), slice(-(-units // 2), units)


def _padded(length: int, step: int = PAD_TO) -> int:
    return -(-length // step) * step
