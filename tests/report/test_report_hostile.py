"""Whatever a machine calls its packages and folders: every format shows the name, and none obeys it."""

import json
import re
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from report_samples import EVIL, HOSTILE, LARGE, check, report

from envdoc.doctor.printable import one_line, printable, several_lines
from envdoc.doctor.report import FORMATS, html_style, renderer

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def one(name):
    """A report whose every field has that name in it."""
    return report(check("PKG001", title=f"{name} is here", detail=name, evidence=(name,), affects=(name,)))


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("format", FORMATS)
def test_no_format_lets_a_terminal_obey(format, name):
    """Nothing that moves a cursor, hides or turns text is in a document, nor in the strings of a JSON one."""
    rendered = renderer(format)(one(EVIL[name]))

    assert [] == OBEYED.findall(rendered)
    rendered.encode("utf-8")
    if format in ("json", "sarif", "gitlab"):
        assert [] == [c for text in strings(json.loads(rendered)) for c in OBEYED.findall(text)]


def strings(value):
    """Every string in a parsed document."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in strings(item)]


@pytest.mark.parametrize("name", EVIL)
def test_a_name_adds_no_line_to_the_text(name):
    """Text has one line a title and indents all else: nothing looks like a finding or a summary of its own."""
    lines = renderer("text")(one(EVIL[name])).splitlines()
    flush = [line for line in lines if line and not line.startswith("    ")]

    assert [True, True, True] == [
        flush[0].startswith("Examined "),
        " PKG001 " in flush[1],
        flush[2].startswith("1 error in 1 check"),
    ]
    assert 3 == len(flush)


@pytest.mark.parametrize("name", EVIL)
def test_a_name_adds_no_workflow_command(name):
    """GitHub reads one annotation and one summary line, and the annotation is ours."""
    lines = renderer("github")(one(EVIL[name])).split("\n")

    assert [True, True, True] == [
        lines[0].startswith("::error title=PKG001 "),
        lines[1].startswith("envdoc: 1 finding"),
        lines[2:] == [""],
    ]
    assert re.fullmatch(r"::error title=[^:,]*::[^\r\n]*", lines[0])


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_no_markdown(name):
    """A reader of Markdown sees the text: no tag but ours, no link, no image, no emphasis, no heading of its own."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(renderer("markdown")(one(EVIL[name])))
    inline = [child.type for token in tokens for child in token.children or ()]

    assert {"text", "code_inline", "strong_open", "strong_close", "softbreak"} >= set(inline)
    assert ["h2", "h3"] == [token.tag for token in tokens if token.type == "heading_open"]
    assert 1 == sum(token.type == "bullet_list_open" for token in tokens)
    assert [] == [token for token in tokens if token.type in ("table_open", "html_block", "hr")]


def test_markdown_calls_nobody():
    """A name with @ or # in it pings nobody and links nowhere."""
    text = renderer("markdown")(one(EVIL["calls people"]))

    assert [] == re.findall(r"(?<!\w)@\w|(?<![\w&])#\d", text)


def test_a_fence_cannot_be_closed():
    """A command with backticks stands in a longer fence."""
    made = HOSTILE.failures
    blocks = [
        token
        for token in MarkdownIt("gfm-like", {"linkify": False}).parse(renderer("markdown")(HOSTILE))
        if token.type == "fence"
    ]

    assert ["\n".join(c.fix.commands) + "\n" for c in made] == [block.content for block in blocks]


def test_code_in_our_own_words_stays_code():
    """Backticks of a message are code, and what stands in them is neither escaped nor lost."""
    text = renderer("markdown")(report(check("SYS001", detail="Use `--gpus all` in `/home/<user>/x_y`.")))

    assert "Use `--gpus all` in `/home/<user>/x_y`." in text


@pytest.mark.parametrize("name", EVIL)
def test_html_has_no_tag_of_theirs(name):
    """The only tags are those that the format writes."""
    tags = set(re.findall(r"<(\w+)", renderer("html")(one(EVIL[name]))))

    assert set() == tags - {
        "html", "head", "meta", "title", "style", "body", "div", "header", "h1", "h2", "dl", "dt", "dd", "main",
        "article", "span", "code", "p", "ul", "li", "small",
    }  # fmt: skip


@pytest.mark.parametrize("name", EVIL)
def test_xml_is_well_formed(name):
    """A parser reads the name back."""
    case = ElementTree.fromstring(renderer("junit")(one(EVIL[name])).encode()).find("testsuite/testcase")

    assert case.get("name").startswith("PKG001 ")


def test_html_asks_for_nothing():
    """No address stands where a browser would fetch it; the policy forbids it too."""
    page = renderer("html")(LARGE)

    assert [] == re.findall(r"""(?:src|href|url|@import|action|srcset)\s*[=(]""", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize("colours", [html_style.LIGHT, html_style.DARK], ids=["light", "dark"])
def test_contrast(colours):
    """Every colour of text has a contrast of at least 4.5 to both grounds (WCAG 2.1, 1.4.3)."""
    for name in set(colours) - {"ground", "raised", "line"}:
        for ground in ("ground", "raised"):
            light, dark = sorted(map(luminance, (colours[name], colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


def luminance(colour):
    """Relative luminance as WCAG defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("format", FORMATS)
def test_a_thousand_checks_are_one_quick_document(format):
    """Nothing is lost of a very large report."""
    rendered = renderer(format)(LARGE)

    assert 300 == sum(c.code in rendered for c in LARGE.failures)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31m", "\\u001b[31m"),
        ("a\tb\nc", "a\tb\nc"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("é ☃ 中文 \U0001f600", "é ☃ 中文 \U0001f600"),
    ],
)
def test_printable(text, expected):
    """What is shown stays; what is obeyed is named; in JSON it is the same text; a second pass changes nothing."""
    assert expected == printable(text) == printable(printable(text))
    assert text == json.loads(printable(json.dumps(text, ensure_ascii=False)))


def test_lines():
    """One line stays one; several keep their ends as newlines."""
    assert "a b c d" == one_line("a\nb\r\nc\rd")
    assert "a\nb\nc\nd" == several_lines("a\nb\r\nc\rd")
