"""A snapshot that was changed at random is judged, or answered with one clean sentence: never a traceback."""

import copy
import json
import random
import time
from pathlib import Path

import pytest

from envdoc.doctor.errors import SnapshotError
from envdoc.doctor.examine import examine
from envdoc.doctor.facts.snapshot import SCHEMA_VERSION, from_json
from envdoc.doctor.finding import Status, Target
from envdoc.doctor.report import FORMATS, renderer

MACHINES = sorted((Path(__file__).resolve().parents[1] / "snapshots").glob("*.json"))
SECONDS = 2.0  # a machine; about a hundred mutations
ODD = (
    *(None, True, False, 0, -1, 1, 10**30, 1e308, float("nan"), [], {}, [[]], [None], {"a": 1}, ["x"] * 50),
    *(
        "",
        "x",
        "\x00",
        "\x1b[2J",
        "\u202e",
        "\udce4",
        "1.2.3",
        "v",
        "9" * 300,
        "..",
        "{0}",
        "%s",
        "../../..",
    ),
    *("torch", "nan", "2.11.0+cu130", "sm_"),
)


def places(tree, path=()):
    """Every path into the tree."""
    yield path
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def mutate(tree, dice, paths):
    """The tree with one place replaced, removed, doubled, or its text cut and turned."""
    path = dice.choice(paths)
    if not path:
        return dice.choice(ODD)
    *way, last = path
    parent = tree
    for key in way:
        try:
            parent = parent[key]
        except (KeyError, IndexError, TypeError):  # an earlier mutation took the place away
            return tree
    if not isinstance(parent, (dict, list)) or (isinstance(parent, list) and last >= len(parent)):
        return tree
    if isinstance(parent, dict) and last not in parent:
        return tree
    value, kind = parent[last], dice.randrange(5)
    if kind == 0 or not isinstance(value, (str, int, float)):
        parent[last] = dice.choice(ODD)
    elif kind == 1:
        del parent[last]
    elif kind == 2 and isinstance(value, str):
        parent[last] = value[: dice.randrange(len(value) + 1)]
    elif kind == 3 and isinstance(value, str):
        parent[last] = "".join(dice.sample(value, len(value)))
    else:
        parent[last] = value * dice.choice((0, 2, 100)) if isinstance(value, str) else -value
    return tree


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_no_mutation_ends_the_run(path):
    """Each is judged with every rule and rendered, or is a SnapshotError with a sentence; a crash is a result.

    Only what a probe printed has no types that a snapshot could be held against: a rule may crash on that, and is told.
    """
    dice = random.Random(path.stem)
    original = json.loads(path.read_text(encoding="utf-8"))
    paths = list(places(original))
    printed = [probe["data"] for probe in original["probes"]]
    crashes, ended, number = [], time.monotonic() + SECONDS, 0
    while time.monotonic() < ended and number < 400:
        number += 1
        tree = copy.deepcopy(original)
        for _ in range(dice.choice((1, 1, 2, 5))):
            tree = mutate(tree, dice, paths)
        try:
            snapshot = from_json(json.dumps(tree))
        except SnapshotError as error:
            assert error.message.endswith("."), error.message
            continue
        report = examine(snapshot, Target(snapshot.interpreter.path, "fuzz"), 0.0)
        if [probe.data for probe in snapshot.probes] == printed:
            crashes += [(c.code, c.detail) for c in report.checks if c.status is Status.CRASHED]
        renderer(dice.choice(list(FORMATS)))(report).encode("utf-8")

    assert number > 3
    assert [] == sorted(set(crashes))


HOSTILE = {
    "nothing": "",
    "a number": "1",
    "a list": "[]",
    "no version": "{}",
    "a version of words": '{"schema_version": "1"}',
    "a version that is true": '{"schema_version": true}',
    "a newer schema": json.dumps({"schema_version": SCHEMA_VERSION + 1, "interpreter": []}),
    "a thousand brackets": '{"schema_version": 1, "packages": ' + "[" * 100_000,
    "binary": "\x00\x01",
    "a number of a million digits": '{"schema_version": 1' + "0" * 1_000_000 + "}",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_snapshot(case):
    """One sentence and a hint."""
    with pytest.raises(SnapshotError) as caught:
        from_json(HOSTILE[case])

    assert caught.value.message.endswith(".")
    assert len(caught.value.message) < 500
    assert caught.value.hint


def test_a_newer_envdoc_of_this_schema():
    """Fields and values that this one does not know are passed over: everything else is judged."""
    tree = json.loads(MACHINES[0].read_text(encoding="utf-8"))
    tree.update(a_new_branch={"x": [1]}, envdoc_version="99.0")
    tree["driver"]["a_new_field"] = {"deep": None}
    tree["packages"][0]["a_new_field"] = 3
    tree["storage"][0]["purpose"] = "a purpose of the future"
    tree["probes"].append(
        {**(tree["probes"] or [{"name": "x"}])[0], "name": "a_new_probe", "status": "superb"}
    )
    snapshot = from_json(json.dumps(tree))

    report = examine(snapshot, Target("/x", "test"), 0.0)

    assert () == report.crashed
    assert len(report.checks) > 100
