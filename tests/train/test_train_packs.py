"""Rows packed and dealt: full packs, few and even passes, fast, and the same in every run."""

import random
import time

import pytest

from envdoc.train.packing import deal, even, pack


def lengths_like_instructions(count):
    """Most rows short, a few long, as in instruction data and in the baselines: median 180, from 32 to 1024."""
    drawn = random.Random(0)
    return [min(1024, max(32, round(drawn.lognormvariate(5.2, 0.8)))) for _ in range(count)]


# Of 100,000 rows each, at most 1024 tokens long.
LENGTHS = {
    "instructions": lengths_like_instructions,
    "even": lambda count: [16 + place % 1009 for place in range(count)],
    "short": lambda count: [8 + place % 40 for place in range(count)],
    "short and longest": lambda count: [
        1024 if place % 3 == 0 else 20 + place % 60 for place in range(count)
    ],
}


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize("budget", [2048, 8192])
def test_a_hundred_thousand_rows_are_packed_fast_and_full(kind, budget):
    """Under 5 s of CPU, over 97% of the token budget used, every row there once, no pack above the budget."""
    lengths = LENGTHS[kind](100_000)
    started = time.process_time()

    packs = pack(lengths, budget, range(len(lengths)))

    assert time.process_time() - started < 5
    assert sorted(row for rows in packs for row in rows) == list(range(len(lengths)))
    assert max(sum(lengths[row] for row in rows) for rows in packs) <= budget
    assert sum(lengths) / (len(packs) * budget) > 0.97


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize(
    "rows, budget, share", [(16, 4096, 1), (64, 8192, 1), (64, 8192, 4), (3, 1024, 2), (1, 1024, 2)]
)
def test_an_update_is_dealt_into_few_even_passes(kind, rows, budget, share):
    """No pass above the budget, each row once and in order, as many passes as best fit makes, but for the share."""
    lengths = LENGTHS[kind](4096)
    for start in range(0, len(lengths) - rows, rows):
        update = lengths[start : start + rows]

        passes = deal(update, budget, share)

        assert sorted(row for one in passes for row in one) == list(range(rows))
        assert all(one == sorted(one) and one for one in passes)
        sums = [sum(update[row] for row in one) for one in passes]
        best = len(pack(update, budget, range(rows)))
        assert max(sums) <= budget and best <= len(passes) < best + share
        if share > 1 and len(passes) % share:
            assert (
                rows < share or len(passes) == best
            )  # too few rows, or so long that only best fit places them


def test_rows_are_dealt_out_evenly():
    """The longest first, each to whom has least: 7 and 2 and 1 against 6 and 4."""
    assert [[1, 3, 4], [0, 2]] == even([4, 7, 6, 2, 1], 2)
    assert [[0], [1]] == deal([900, 900], 1024, 1) == deal([900, 900], 1800, 2)
    assert [[0, 1]] == deal([900, 900], 1800, 1)


def test_the_number_of_packs_does_not_depend_on_the_order():
    """Steps per epoch are known from the first one; which rows share a pack changes with the order."""
    lengths = lengths_like_instructions(2_000)
    order = list(range(len(lengths)))
    random.Random(1).shuffle(order)

    one, other = pack(lengths, 1024, range(len(lengths))), pack(lengths, 1024, order)

    assert len(one) == len(other)
    assert {frozenset(rows) for rows in one} != {frozenset(rows) for rows in other}
    assert other == pack(lengths, 1024, order)


@pytest.mark.parametrize(
    "lengths, packs",
    [
        ([], []),
        ([8], [[0]]),
        ([8, 8, 8], [[0], [1], [2]]),
        ([5, 3, 8, 2, 6], [[2], [4, 3], [0, 1]]),  # 6 leaves 2, which 2 fills; 5 leaves 3, which 3 fills
    ],
)
def test_each_row_goes_where_it_leaves_the_least_room(lengths, packs):
    """Best fit, longest first, into packs of 8."""
    assert packs == pack(lengths, 8, range(len(lengths)))


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize("count", [60, 700, 5_000])
def test_no_pack_is_nearly_empty(kind, count):
    """What best fit leaves at the end is filled up from the others, to 80% of their mean and more."""
    lengths = LENGTHS[kind](count)
    packs = pack(lengths, 4096, range(count))
    sums = [sum(lengths[row] for row in rows) for rows in packs]

    assert sorted(row for rows in packs for row in rows) == list(range(count))
    assert max(sums) <= 4096 and min(sums) > 0.8 * sum(sums) / len(sums)


def test_packs_are_evened_as_far_as_rows_go():
    """8, 8 and 1 of 8 become 4, 7 and 6: first the shortest row is given. Single rows cannot be."""
    lengths = [4, 4, 4, 3, 1, 1]

    assert [4, 7, 6] == [sum(lengths[row] for row in rows) for rows in pack(lengths, 8, range(6))]
    assert [[0], [1], [2]] == pack([8, 8, 2], 8, range(3))


# Packed rows through models of many kinds, against the same rows one by one. All parameters take part, in fp32.
