"""The parts of `envdoc data`: what one text, all lengths and all rows tell."""

import random
from array import array

import pytest

from envdoc.train.examine import near, same
from envdoc.train.examine.lengths import Lengths
from envdoc.train.examine.scripts import FIRSTS, main_script
from envdoc.train.examine.texts import SAYINGS, is_cut, marks

PROSE = "The river runs past the mill and the old bridge. It is broad there, and slow. "
dice = random.Random(5)


def chat(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


@pytest.mark.parametrize(
    "code, text",
    [
        ("lost-characters", "a \ufffd b"),
        ("mojibake", "CafÃ© au lait"),
        ("mojibake", "it â€™s"),
        ("mojibake", "锟斤拷"),
        ("control-characters", "a\x00b"),
        ("control-characters", "a\ufeffb"),
        ("template-remains", "Right.<|im_end|>"),
        ("template-remains", "[INST] Hello [/INST]"),
        ("template-remains", "<end_of_turn>"),
        ("secrets", "AKIA" + "A" * 16),
        ("secrets", "token = ghp_" + "a" * 36),
        ("secrets", "-----BEGIN RSA PRIVATE KEY-----"),
        ("says-nothing", " NaN "),
        ("cut-answers", PROSE * 3 + "Then the miller opened the gate and"),
        ("cut-answers", "```python\nprint(1)"),
        ("echo", "question"),
    ],
)
def test_a_damaged_text_is_marked(code, text):
    """Each fault is found in an answer."""
    assert (code,) == marks(chat("question", text))
    assert code in SAYINGS


@pytest.mark.parametrize(
    "text",
    [
        "Paris",
        "Café, naïve, São Paulo: É o NÃO. Ångström, 25 °C, « mot »",
        "天气很好。\n\t今天，我们去公园",
        "if a < b and c[0] > d: return '<b>bold</b>'",
        "Use sk-learn; the ask-me box; ghp_ is a prefix; see hf_transfer.",
        "None of these.",
        "```sh\nls\n```",
        PROSE * 3 + "\n\nBest regards,\nThe miller",
        PROSE * 3 + "\n- an item of a list that goes on without any mark at its end",
        PROSE * 3 + "\n" + "See https://example.org/a/very/long/address/that/ends/without/any/mark",
        PROSE * 3,
        "word " * 100,  # no sentence marks anywhere: not prose
    ],
)
def test_a_sound_text_is_not_marked(text):
    """Accents, Chinese, code, lists, links and signatures are no faults."""
    assert () == marks(chat("question", text))


def test_special_tokens_of_the_tokenizer_are_marked():
    """A marker that only this tokenizer knows is one, too."""
    assert ("template-remains",) == marks(chat("Q", "x [gMASK] y"), ("[gMASK]",))
    assert is_cut("一条河。" * 60 + "\n" + "然后磨坊主打开了门，" * 6)


@pytest.mark.parametrize(
    "script, text",
    [
        ("Latin", "Straße, déjà vu"),
        ("Latin", "plain"),
        ("Han", "使用 pandas 的 read_csv 函数读取数据文件，然后再处理"),
        ("Japanese", "日本語のテキストです"),
        ("Hangul", "한국어 텍스트"),
        ("Cyrillic", "Привет, world"),
        ("Arabic", "مرحبا"),
        ("Devanagari", "नमस्ते"),
        (None, "2 × 1 = 2 😀"),
        (None, "…，。"),
    ],
)
def test_the_script_of_a_text(script, text):
    """The script that carries most of it; Japanese by its Kana; none for numbers and signs."""
    assert script == main_script(text)
    assert FIRSTS == sorted(FIRSTS)


def test_lengths_are_counted_exactly():
    """Percentiles, sum, the longest row and bins that double."""
    lengths = Lengths()
    for number, length in enumerate([1, 2, 3, 4, 5, 8, 9, 16, 17, 100], 1):
        lengths.add(length, number)

    assert (165, 5, 17, 100, 10, 2) == (
        lengths.total, lengths.at(0.5), lengths.at(0.9), lengths.longest, lengths.longest_row, lengths.above(16)
    )  # fmt: skip
    assert [
        (0, 1, 1),
        (2, 2, 1),
        (3, 4, 2),
        (5, 8, 2),
        (9, 16, 2),
        (17, 32, 1),
        (33, 64, 0),
        (65, 128, 1),
    ] == lengths.bins()
    assert 8 == len(lengths.plot(64))
    assert [False] * 7 + [True] == ["over max_length" in line for line in lengths.plot(64)]


def test_a_limit_shows_as_a_heap_at_the_greatest_length():
    """Many rows of exactly the greatest length were cut there; equal short answers, or one long row, were not."""
    cut, short, long = Lengths(), Lengths(), Lengths()
    for number in range(1000):
        cut.add(512 if number % 50 == 0 else 40 + number % 60, number)
        short.add(1 + number % 2, number)
        long.add(5000 if number == 7 else 40 + number % 60, number)

    assert [(512, 20), None, None] == [cut.spike(), short.spike(), long.spike()]


def test_equal_keys_are_grouped_whatever_the_parts(monkeypatch):
    """Positions of equal keys, rising; sorting in many small parts finds the same."""
    keys = array("Q", [dice.randrange(400) * (1 << 54) + 3 for _ in range(1000)])
    expected = sorted(
        [place for place, key in enumerate(keys) if key == value]
        for value in set(keys)
        if keys.count(value) > 1
    )

    assert expected == sorted(same.groups(keys))
    monkeypatch.setattr(same, "PART_ROWS", 10)
    assert expected == sorted(same.groups(keys))


def test_normal_text_keeps_what_tells_rows_apart():
    """Case, blanks, width and marks around words fall away; marks inside numbers and sums stay."""
    assert (
        same.normal("Hello,  World!")
        == same.normal("“hello world”")
        == same.normal("ＨＥＬＬＯ　ｗｏｒｌｄ。")
    )
    assert same.normal("你好。") == same.normal("你好")
    assert 4 == len({same.normal(text) for text in ("1.5", "15", "1-5", "1+5")})


def test_nearly_equal_answers_are_found_and_others_not():
    """One word of sixty changed is near; another answer of the same words is not; short ones are not compared."""
    answers = [
        " ".join(dice.choices(["ka", "lo", "mi", "ru", "te", "vo", "ned", "sil"], k=60)) for _ in range(50)
    ]
    words = answers[3].split()
    changed = " ".join([*words[:30], "heron", *words[31:]])
    found = near.Near()
    for position, answer in enumerate([*answers, changed, "yes it is", "yes it is"]):
        found.add(position, answer)

    assert [(3, 50)] == near.first_of_each(found.pairs())
    assert None is near.signature("yes it is")
