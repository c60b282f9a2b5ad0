"""Rows into packs of a fixed number of tokens: best fit, longest row first."""

import heapq
from typing import Dict, List, Sequence


def pack(lengths: Sequence[int], budget: int, order: Sequence[int]) -> List[List[int]]:
    """Packs of row numbers, none above `budget` tokens; each row goes where it leaves the least room.

    Best fit leaves one pack with what remained at the end. The others then give it of their rows, so that no update is
    learnt from a handful, or is so short that the GPU waits for the next.

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
    by_room = [(room, chosen) for room, waiting in with_room.items() for chosen in waiting]
    _fill_the_emptiest([chosen for _, chosen in by_room], [budget - room for room, _ in by_room], lengths)
    return packs


def _fill_the_emptiest(packs: Sequence[List[int]], sums: List[int], lengths: Sequence[int]) -> None:
    """Of the others that which is the fullest without its shortest row gives this, again and again, while that helps.

    `sums` are the packs' tokens.
    """
    if len(packs) < 2:
        return
    emptiest = min(range(len(packs)), key=sums.__getitem__)
    without = [tokens - int(lengths[rows[-1]]) for tokens, rows in zip(sums, packs)]
    others = [(-without[place], place) for place in range(len(packs)) if place != emptiest]
    heapq.heapify(others)
    while -others[0][0] > sums[emptiest]:
        place = others[0][1]
        sums[emptiest] += sums[place] - without[place]
        sums[place] = without[place]
        packs[emptiest].append(packs[place].pop())
        without[place] -= int(lengths[packs[place][-1]])
        heapq.heapreplace(others, (-without[place], place))


def deal(lengths: Sequence[int], budget: int, share: int = 1) -> List[List[int]]:
    """The rows of one update as passes of at most `budget` tokens, as few as best fit finds, and as even as can be.

    Each pass lists its rows in their order. How many come out is a multiple of `share` (processes that take equally
    many, so that none waits for another), unless there are fewer rows than that, or the rows are so long that only
    best fit places them.
    """
    packs = pack(lengths, budget, range(len(lengths)))
    count = min(len(lengths), -(-len(packs) // share) * share)
    evened = even(lengths, count)
    fits = max(sum(lengths[row] for row in rows) for rows in evened) <= budget
    return evened if fits else [sorted(rows) for rows in packs]


def even(lengths: Sequence[int], count: int) -> List[List[int]]:
    """`count` groups of row numbers, none empty, whose sums differ little: the longest row first, to the least full."""
    groups: List[List[int]] = [[] for _ in range(count)]
    sums = [(0, place) for place in range(count)]
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        tokens, place = heapq.heappop(sums)
        groups[place].append(row)
        heapq.heappush(sums, (tokens + lengths[row], place))
    return [sorted(rows) for rows in groups]
