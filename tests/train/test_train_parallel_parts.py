"""The parts of a run in several processes that need no process: dealing out rows, comparing nodes, telling failures."""

import pytest

from envdoc.train.errors import ConfigError
from envdoc.train.parallel import facts, join, nodes, notes, world
from envdoc.train.parallel.launcher import Ranks, check
from envdoc.train.parallel.notes import CUT_OFF, UNFORESEEN, Note


class Labels(list):
    """As much of a tensor as `share` touches."""

    def clone(self):
        return Labels(self)

    def fill_(self, value):
        return Labels([value] * len(self))


@pytest.fixture
def of_three():
    """A function: a rank of a world of three, for this test only."""
    yield lambda rank: world.enter(world.World(rank, 3, strategy="ddp"))
    world.enter(world.World())


def test_every_micro_batch_is_dealt_out_once_and_every_rank_gets_equally_many(of_three):
    """In order; where they run out a masked copy stands in, and the dealt ones are left as they were."""
    batches = [{"labels": Labels([number])} for number in range(4)]
    dealt = []
    for rank in range(3):
        of_three(rank)
        dealt.append([batch["labels"][0] for batch in world.share(batches, masked=-100)])

    assert [[0, 1], [2, 3], [-100, -100]] == dealt
    assert [0, 1, 2, 3] == [batch["labels"][0] for batch in batches]


def test_an_update_that_cannot_be_shared_evenly_is_refused(of_three):
    """The hint names an equal update that can be; nothing is refused in one process."""
    of_three(0)
    world.check_accumulation(4, 6)
    with pytest.raises(ConfigError) as refused:
        world.check_accumulation(3, 2)
    assert "`train.accumulation` is 2, and 3 processes cannot share" in refused.value.message
    assert "`train.batch_size=2 train.accumulation=3` is the same update." in refused.value.hint


def node(host, **changed):
    told = {"torch": "2.13.0+cu130", "peft": "0.21.2", "the GPU": "NVIDIA H200", "the data's hash": "ab" * 32}
    return {"host": host, "facts": {**told, **changed}, "run": {"lora.r": "8"}}


def test_equal_ranks_are_let_through():
    assert None is facts.difference([node("a"), node("a"), node("b")])


def test_the_odd_node_is_named_with_both_versions():
    """The minority is odd; in a tie those that differ from rank 0."""
    odd = facts.difference([node("a", peft="0.20.0"), node("b"), node("b"), node("c")])
    tie = facts.difference([node("a"), node("b", **{"the data's hash": "cd" * 32})])

    assert (
        "The 4 processes of this run are not alike: on a (rank 0) peft is 0.20.0, and on b (ranks 1, 2), c (rank 3) "
        "it is 0.21.2." == odd
    )
    assert (
        "The 2 processes of this run are not alike: on b (rank 1) the data's hash is cdcdcdcdcdcd..., and on "
        "a (rank 0) it is abababababab...." == tie
    )


def test_a_key_of_the_run_and_a_missing_library_count_too():
    """Another run file on one node, and a library that one node lacks."""
    other = {**node("b"), "run": {"lora.r": "16"}}
    assert "on b (rank 1) lora.r is 16, and on a (rank 0) it is 8" in facts.difference([node("a"), other])
    assert "on b (rank 1) peft is missing" in facts.difference([node("a"), node("b", peft=None)])


def test_gpus_may_be_mixed_on_purpose_and_versions_never():
    mixed = [node("a"), node("b", **{"the GPU": "NVIDIA A100"})]
    assert "the GPU is NVIDIA A100" in facts.difference(mixed)
    assert None is facts.difference(mixed, allow_mixed=True)
    assert facts.difference([node("a"), node("b", torch="2.12.0")], allow_mixed=True)


def test_equal_failures_are_told_once_and_consequences_not_at_all():
    """A broken connection is told only where nothing else is known."""
    full = Note(1, "b", 2, "The disk is full.")
    again = Note(2, "b", 2, "The disk is full.")
    cut = Note(3, "b", CUT_OFF, "The connection to another rank broke.")
    crash = Note(0, "a", UNFORESEEN, "KeyError")

    assert [full] == notes.to_tell([full, again, cut], [])
    assert [crash] == notes.to_tell([cut], [crash])
    assert [cut] == notes.to_tell([cut], [])
    assert ("Rank 1 on b: The disk is full.", "KeyError") == (
        notes.attributed(full, 4),
        notes.attributed(crash, 4),
    )
    assert [True, False, False] == [note.final for note in (full, cut, crash)]


def test_notes_are_read_back_and_forgotten(tmp_path):
    note = Note(1, "b", 2, "The disk is full.", "Make room.")
    notes.write(tmp_path, "own-1", note)
    assert ([note], []) == (notes.read(tmp_path, "own"), notes.read(tmp_path, "other"))
    notes.clear(tmp_path)
    assert [] == notes.read(tmp_path, "own")


@pytest.mark.parametrize(
    "ranks, told",
    [
        (Ranks(nproc="0"), "`--nproc` must be a number above 0 or `auto`, and is `0`."),
        (Ranks(nproc="two"), "`--nproc` must be a number above 0 or `auto`, and is `two`."),
        (
            Ranks(nnodes=2, node_rank=2, master_addr="a"),
            "`--node-rank` is 2, and with `--nnodes 2` it must be from 0 to 1.",
        ),
        (Ranks(nnodes=2), "`--nnodes` is 2, and `--master-addr` is missing."),
        (Ranks(nproc="2", restarts=-1), "`--restarts` must be 0 or more, and is -1."),
    ],
)
def test_numbers_that_make_no_sense_are_refused(ranks, told):
    with pytest.raises(ConfigError) as refused:
        check(ranks)
    assert told == refused.value.message


def test_ranks_that_do_not_come_are_named():
    assert "Rank 3 of 4 did not come within 60 s." == join.missing_ranks([3], 4, 60)
    assert "Ranks 1, 3 of 4 did not come within 60 s." == join.missing_ranks([1, 3], 4, 60)


def test_nodes_that_do_not_come_are_named():
    """By rank where the others left theirs; one that expects another number of nodes is named too."""
    first, third = {"host": "a", "count": 4}, {"host": "c", "count": 4}
    assert "Node 3 of 4 did not come within 60 s; nodes 0 (a), 1 (b), 2 (c) did." == nodes.missing(
        {0: first, 1: {"host": "b", "count": 4}, 2: third}, 4, 60
    )
    assert "Nodes 1, 2, 3 of 4 did not come within 60 s; node 0 (a) did." == nodes.missing({0: first}, 4, 60)
    assert (
        "The nodes do not expect the same number of nodes: this one was given `--nnodes 4`, node 1 on b "
        "`--nnodes 2`." == nodes.missing({0: first, 1: {"host": "b", "count": 2}}, 4, 60)
    )
    assert None is nodes.missing({}, 4, 60)


def test_the_interface_of_an_address_is_found():
    assert "lo" == join.interface_of("127.0.0.1")
    assert None is join.interface_of("192.0.2.1")  # of RFC 5737, for documents: nobody has it
