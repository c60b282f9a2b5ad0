"""Characters that a terminal, a browser or a log viewer would obey instead of showing, made visible.

A package, a folder or a variable may be called anything: a name with an escape sequence must not move the cursor,
hide a line of a report or turn its text around.
"""

import re

# C0 without tab and newline, DEL and C1; soft hyphen; what joins, separates or turns text without being seen (Unicode's
# Cf and line separators); tags; lone surrogates, which no encoding of a file carries.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_LINE_ENDS = re.compile(r"\r\n?")


def printable(text: str) -> str:
    """`text` with every such character as its JSON escape (ESC is `\\u001b`); tabs and newlines stay.

    Inside a JSON document this changes nothing of what it says. Doing it twice changes nothing more.
    """
    return _HIDDEN.sub(_escape, text)


def one_line(text: str) -> str:
    """The same for what must stay one line: line ends become spaces."""
    return printable(_LINE_ENDS.sub(" ", text).replace("\n", " "))


def several_lines(text: str) -> str:
    """The same for a text of several lines: all line ends become newlines."""
    return printable(_LINE_ENDS.sub("\n", text))


def _escape(match: "re.Match[str]") -> str:
    code = ord(match.group())
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"
