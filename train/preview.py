"""What the model will see: a row or two as tokens, what is learnt told apart from what is only read.

Green and grey on a terminal; elsewhere, and with NO_COLOR, what is learnt stands in [[ ]].
"""

import os
import sys
from typing import Any, List, Sequence, TextIO, Tuple

from envdoc.train.turns import MASKED, Tokens

SHOWN_ROWS = 2
SPAN_CHARACTERS = 400  # of one stretch; of a longer one its beginning and its end are shown
GREEN, GREY, PLAIN = "\x1b[32m", "\x1b[90m", "\x1b[0m"


def lines(rows: Sequence[Tokens], tokenizer: Any, coloured: bool) -> List[str]:
    """The first rows, each under a line with its counts."""
    shown = [rows[place] for place in range(min(SHOWN_ROWS, len(rows)))]
    told = "green" if coloured else "in [[ ]]"
    result = [
        f"Preview   {'the first row' if len(shown) == 1 else 'the first two rows'}; what is learnt is {told}."
    ]
    for row in shown:
        count, learnt = len(row.input_ids), row.answer_tokens
        result.append(
            f"          Row {row.number}: {count} tokens, {learnt} learnt ({100 * learnt / count:.0f}%)."
        )
        text = "".join(_painted(tokenizer, *stretch, coloured) for stretch in stretches(row))
        result.append(f"          {text}")
    return result


def stretches(row: Tokens) -> List[Tuple[List[int], bool]]:
    """The row cut where learning begins or ends: token ids, and whether they are learnt."""
    result: List[Tuple[List[int], bool]] = []
    for token, label in zip(row.input_ids, row.labels):
        learnt = label != MASKED
        if not result or result[-1][1] != learnt:
            result.append(([], learnt))
        result[-1][0].append(token)
    return result


def in_colour(stream: TextIO = sys.stdout) -> bool:
    """True on a terminal that shows colours, unless NO_COLOR says otherwise."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _painted(tokenizer: Any, ids: List[int], learnt: bool, coloured: bool) -> str:
    text = _visible(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
    if len(text) > SPAN_CHARACTERS:
        half = SPAN_CHARACTERS // 2
        text = f"{text[:half]} ... ({len(ids)} tokens) ... {text[-half:]}"
    if coloured:
        return f"{GREEN if learnt else GREY}{text}{PLAIN}"
    return f"[[{text}]]" if learnt else text


def _visible(text: str) -> str:
    """On one line, and nothing in it that a terminal would obey: rows are other people's text."""
    escaped = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "".join(
        escaped.get(letter) or (letter if letter.isprintable() else f"\\x{ord(letter):02x}")
        for letter in text
    )
