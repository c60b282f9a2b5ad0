"""`envdoc explain int8` and its kin: the words on the terminal and the pages in docs/concepts are the same."""

import re
from pathlib import Path

import pytest

from envdoc.doctor import concepts
from envdoc.doctor.cli import run

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "concepts"


def test_the_four_ideas_of_the_seed_have_a_page():
    """What the recipe of 2023 explains in passing is explained here."""
    assert ["checkpointing", "int8", "lora", "mixed-precision"] == concepts.topics()


@pytest.mark.parametrize(
    "name", ["int8", "checkpointing", "mixed-precision", "lora", "QLoRA", "tf32", "fan_in_fan_out"]
)
def test_an_idea_is_explained_by_its_name_and_by_other_words(name, capsys):
    """The page is printed whole, and a picture is named by its file, since a terminal shows none."""
    code = run(["explain", name])

    out = capsys.readouterr().out
    assert (0, True) == (code, out.startswith("# "))
    assert "![" not in out
    assert "docs/concepts/" in out


@pytest.mark.parametrize("name", ["checkpointing", "int8", "lora", "mixed-precision"])
def test_the_page_in_docs_is_the_one_that_is_printed(name):
    """scripts/draw-concepts wrote it from the same words, and every picture that it shows is there."""
    words = (ROOT / "doctor" / "concepts" / f"{name}.md").read_text(encoding="utf-8")
    shown = (PAGES / f"{name}.md").read_text(encoding="utf-8")

    assert words == shown
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", shown)
    assert pictures
    assert [] == [picture for picture in pictures if not (PAGES / picture).is_file()]


def test_every_other_word_leads_to_a_page():
    """No alias points to a page that is not there."""
    assert [] == [name for name, topic in concepts.ALIASES.items() if topic not in concepts.topics()]
