"""Rows into packs of a fixed number of tokens: best fit, longest row first."""

from typing import Dict, List, Sequence


def pack(lengths: Sequence[int], budget: int, order: Sequence[int]) -> List[List[int]]:
    """Packs of row numbers, none above `budget` tokens; each row goes where it leaves the least room.

    `order` names every row once; of rows of one length the earlier is placed first. How many packs come out depends
    on the lengths alone, so that every epoch has as many. Which packs have room is one integer with a bit for each
    amount of it: the best one is the lowest bit above the row's length, found without a search.
    """
    longest_first = sorted(order, key=lambda row: -lengths[row])  # stable
    packs: List[List[int]] = []
    with_room: Dict[int, List[List[int]]] = {}  # tokens left -> the packs that have them
    rooms = 0
    for row in longest_first:
        need = int(lengths[row])
        fitting = rooms >> need
        if fitting:
            room = need + (fitting & -fitting).bit_length() - 1
            chosen = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
        else:
            room, chosen = budget, []
            packs.append(chosen)
        chosen.append(row)
        room -= need
        waiting = with_room.setdefault(room, [])
        if not waiting:
            rooms |= 1 << room
        waiting.append(chosen)
    return packs
