"""The linter finds each thing that is wrong, and the shipped advisories have none of them."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tiny import FAILS, ROOT, tiny

from envdoc.doctor.advisories import load
from envdoc.doctor.advisories.lint import lint, pattern_problems
from envdoc.doctor.advisories.proof import Seen
from envdoc.doctor.tables.cause_classes import cause_classes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = sorted((ROOT / "doctor" / "advisories").glob("*.toml"))
SCHEMA = Draft202012Validator(
    json.loads((ROOT / "docs/schemas/advisory.schema.json").read_text(encoding="utf-8"))
)
CLASSES = frozenset({"oom"})
SEEN = Seen(("peft==0.3.0",), (), True, "fails", "x", "2026-11-24", "3.11.7", "2.13.0", "base", 1.0, "0" * 64)


@pytest.fixture
def good(tmp_path):
    """A made-up advisory without a fault, and its folder."""
    folder = tiny(tmp_path, "example", FAILS)
    return load(folder)[0], folder


def problems(advisory, folder, evidence=(), bases=None):
    """What the linter says of one advisory."""
    return lint([advisory], CLASSES, {advisory.id: evidence}, bases or {}, folder)


def test_shipped_advisories_have_no_fault():
    """scripts/lint-advisories, as scripts/check runs it."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "lint-advisories")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ("", 0) == (done.stdout, done.returncode)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_advisory_is_valid_by_the_schema(path):
    """Each file is what docs/schemas/advisory.schema.json says, with no key beyond it."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    assert [] == [
        f"{'/'.join(map(str, error.path))}: {error.message}"[:300] for error in SCHEMA.iter_errors(raw)
    ]


def test_the_schema_knows_the_loaders_keys():
    """The schema and the dataclass have the same keys."""
    from dataclasses import fields

    from envdoc.doctor.advisories import Advisory

    assert {item.name for item in fields(Advisory)} == set(SCHEMA.schema["properties"])


def test_a_good_advisory_has_no_problem(good):
    """Nothing is said of one that is as it must be."""
    assert () == problems(*good)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"summary": "x" * 80}, "fewer than 80"),
        ({"cause_class": "fate"}, "no class"),
        ({"kind": "fate"}, "no kind"),
        ({"details": "No end"}, "details must be whole sentences"),
        ({"links": ("https://example.invalid/a/b/1",)}, "not owner/repo#N"),
        ({"symptom": ()}, "no symptom"),
        ({"evidence": ()}, "no evidence"),
        ({"modified": "yesterday"}, "must be a day"),
        ({"reproducer": ""}, "either a reproducer or a word"),
        ({"unproved": "It cannot be."}, "either a reproducer or a word"),
        ({"reproducer": "absent"}, "no reproducer absent.py"),
        ({"proof": ()}, "no proof shows"),
        ({"bounds": (("peft", "run: x"),)}, "no package in `affected`"),
        ({"affected": (("peft", ">=0.3"),)}, "bound of peft comes from is not told"),
        ({"affected": (("peft", ">=0.3"),), "bounds": (("peft", "somewhere"),)}, "is not told"),
        ({"affected": (("peft", "new"),), "bounds": (("peft", "code: x"),)}, "no range of versions"),
        ({"symptom": (re.compile("(a+)+b"),)}, "endless repeat inside"),
    ],
)
def test_a_fault_is_found(good, change, words):
    """Each fault is told in words of its own."""
    advisory, folder = good
    assert [True] == sorted({words in problem for problem in problems(replace(advisory, **change), folder)})[
        -1:
    ]


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ([], ["fails with a peft", "passes with a peft beyond >=0.3"]),
        ([SEEN], ["passes with a peft beyond >=0.3"]),
        ([replace(SEEN, packages=("peft==0.2.0",), fails=False, verdict="passes")], ["fails with a peft"]),
        ([SEEN, replace(SEEN, packages=("peft==0.2.0",), fails=False, verdict="passes")], []),
        ([SEEN, replace(SEEN, packages=("peft==0.4.0",), fails=False, verdict="passes")], ["passes with"]),
        ([SEEN, replace(SEEN, packages=(), fails=False, verdict="passes", base="old")], []),
        ([SEEN, replace(SEEN, packages=("peft==0.2.0",), fails=False, verdict="broken")], ["passes with"]),
    ],
)
def test_a_bound_that_was_run_is_carried_by_proofs(good, evidence, expected):
    """A bound that says run: has a failing run within and a passing one beyond it, of an overlay or of the base."""
    advisory, folder = good
    advisory = replace(advisory, affected=(("peft", ">=0.3"),), bounds=(("peft", "run: 0.2.0 passes"),))
    found = problems(advisory, folder, evidence, {"old": {"peft": "0.2.0"}})
    assert len(expected) == len(found)
    assert [True] * len(expected) == [words in problem for words, problem in zip(expected, found)]


def test_a_bound_may_come_from_code(good):
    """An end of which code or a thread tells needs no run beyond it; the fault itself must have been run."""
    advisory, folder = good
    advisory = replace(
        advisory, affected=(("peft", ">=0.3"),), bounds=(("peft", "run: 0.3.0 fails; code: 0.2.0 lacks it"),)
    )
    assert () == problems(advisory, folder, [SEEN])


def test_what_a_proof_printed_is_a_symptom(good):
    """The error that a proof printed is one that the advisory is known by."""
    advisory, folder = good
    told = replace(SEEN, seen="ImportError: quite another line")
    assert "no symptom matches" in problems(advisory, folder, [told])[0]
    assert () == problems(advisory, folder, [replace(SEEN, seen="ImportError: the example went wrong")])


def test_a_symptom_of_two_classes(good):
    """The same sure symptom in two classes decides nothing."""
    advisory, folder = good
    other = replace(advisory, cause_class="nccl")
    assert "another class" in lint([advisory, other], frozenset({"oom", "nccl"}), {}, {}, folder)[0]


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        (r"CUDA error: \w{1,40}", 0),
        (r"a\s+b\s+c", 0),
        (r"(?:a|b)+c", 0),
        (r".*x", 2),
        (r"a.*x", 1),
        (r"a.{0,80}x", 0),
        (r"(\w+\s)+x", 1),
        (r"(?:a*)*", 2),
        (r"x?", 1),
        (r"(?:\s*(?:a+b)){1,9}", 0),
    ],
)
def test_pattern_problems(pattern, number):
    """Endless repeats of anything, or within each other, and patterns that match nothing are found."""
    assert number == len(pattern_problems(pattern))


def test_classes_are_those_of_the_taxonomy():
    """The table of classes and the list that the tests have agree, and every neighbour is a class."""
    taxonomy = (ROOT / "tests" / "why" / "taxonomy.txt").read_text().splitlines()[1:]
    names = {row.name for row in cause_classes()}
    assert set(taxonomy) == names
    assert {near for row in cause_classes() for near in row.near} <= names


def test_library_classes_have_an_advisory():
    """Each class of library troubles has at least one advisory, also those of which no example is known."""
    wanted = Path(__file__).with_name("library-classes.txt").read_text().split()
    assert [] == sorted(
        set(wanted) - {advisory.cause_class for advisory in load(ROOT / "doctor" / "advisories")}
    )
