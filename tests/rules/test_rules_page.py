"""The pages of rules say everything, and docs/rules is what the generator writes."""

import json
from pathlib import Path

import pytest

from envdoc.doctor import tables
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.rules.messages import FOLDER, messages, tables_in_toml
from envdoc.doctor.rules.page import page
from envdoc.doctor.rules.registry import all_rules

DOCS = Path(__file__).parents[2] / "docs" / "rules"
CODES = [rule.code for rule in all_rules()]


@pytest.mark.parametrize("code", CODES)
def test_docs_hold_the_generated_page(code):
    """`scripts/rules-docs` was run after the last change of the words."""
    assert page(code) == (DOCS / f"{code}.md").read_text(encoding="utf-8")


def test_the_words_that_are_read_are_those_of_the_toml_files():
    """`scripts/rules-docs` was run after the last change of the words: en.json holds the same tables."""
    assert tables_in_toml() == json.loads((FOLDER / "en.json").read_text(encoding="utf-8"))


def test_the_tables_that_are_read_are_those_of_the_toml_files():
    """`scripts/rules-docs` was run after the last change of a table."""
    assert tables.tables_in_toml() == json.loads((tables.FOLDER / "tables.json").read_text(encoding="utf-8"))


def test_docs_hold_no_other_page():
    """A rule that is gone has no page left."""
    assert sorted(CODES) == sorted(path.stem for path in DOCS.glob("*.md"))


@pytest.mark.parametrize("code", CODES)
def test_page_says_what_how_why_and_what_to_do(code):
    """Each page has its sections, and ends where its knowledge comes from."""
    text, message = page(code), messages()[code]
    for part in (
        f"# {code}: {message.name}",
        message.summary[1:],
        message.title,
        "## What to do",
        message.why,
    ):
        assert part in text
    assert ("## Where this comes from" in text) == bool(message.source)
    assert text.endswith("\n") and not text.endswith("\n\n")


@pytest.mark.parametrize("code", CODES)
def test_every_message_is_complete(code):
    """Each rule says why it matters, what its passing means, and, unless it judges what ran, where that is from."""
    message = messages()[code]
    assert "" not in (message.why, message.summary, message.passed, message.detail)
    assert message.source or code.startswith("TOK") or code[3:] >= "050"  # the probe that ran is the source
    assert not message.summary.endswith(".") and not message.passed.endswith(
        "."
    )  # both stand where titles stand
    assert message.severity in ("error", "warning", "info")
    assert message.kind in ("host", "library", "data", "script")


def test_names_are_used_once():
    """A name is as good as a code."""
    names = [messages()[code].name for code in CODES]
    assert sorted(set(names)) == sorted(names)


def test_every_message_belongs_to_a_rule():
    """No words are left over from a rule that is gone."""
    assert set(CODES) == set(messages())


def test_unknown_code_is_one_sentence():
    """`envdoc explain XYZ001` is told what it could ask for."""
    with pytest.raises(EnvdocError, match="There is no rule `XYZ001`"):
        page("XYZ001")
