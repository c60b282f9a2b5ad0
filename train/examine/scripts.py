"""In which script a text is written: what can be told of its language without a model of languages."""

from bisect import bisect_right
from collections import Counter
from functools import lru_cache
from typing import Dict, List, Optional

from envdoc.train.examine.remarks import INFO, WARNING, Remark, Tally

# First character, last character, script; Unicode 15, the blocks that carry nearly all text of each.
BLOCKS = (
    ("A", "Z", "Latin"), ("a", "z", "Latin"), ("À", "ɏ", "Latin"), ("Ͱ", "Ͽ", "Greek"), ("Ѐ", "ԯ", "Cyrillic"),
    ("֐", "׿", "Hebrew"), ("؀", "ۿ", "Arabic"), ("ऀ", "ॿ", "Devanagari"), ("ঀ", "৿", "Bengali"),
    ("஀", "௿", "Tamil"), ("฀", "๿", "Thai"), ("ᄀ", "ᇿ", "Hangul"), ("Ḁ", "ỿ", "Latin"), ("぀", "ヿ", "Kana"),
    ("㐀", "䶿", "Han"), ("一", "鿿", "Han"), ("가", "힣", "Hangul"), ("\uf900", "\ufaff", "Han"),
)  # fmt: skip
FIRSTS = [first for first, _, _ in BLOCKS]
DENSE = ("Han", "Kana", "Hangul")  # elsewhere about three letters carry what one of these does
STRAY_SHARE = 0.01  # a script of fewer answers than this is a stray in the set, not a part of it
FEWEST_FOR_STRAYS = 100  # rows
KANA_SHARE = 0.1  # of Han and Kana together: from there on it is Japanese


@lru_cache(maxsize=1 << 16)
def script_of(character: str) -> Optional[str]:
    """The script of one letter; None for anything else."""
    if not character.isalpha():  # the multiplication sign stands among the letters of Latin
        return None
    place = bisect_right(FIRSTS, character) - 1
    return BLOCKS[place][2] if place >= 0 and character <= BLOCKS[place][1] else None


def main_script(text: str) -> Optional[str]:
    """The script that carries most of the text; None where it has no letters. Japanese is told from Han by its Kana."""
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else None
    weights: Dict[str, float] = {}
    for character, count in Counter(text).items():
        script = script_of(character)
        if script is not None:
            weights[script] = weights.get(script, 0) + count / (1 if script in DENSE else 3)
    if not weights:
        return None
    kana, han = weights.pop("Kana", 0), weights.get("Han", 0)
    if kana and kana >= KANA_SHARE * (kana + han):
        weights["Japanese"] = kana + weights.pop("Han", 0)
    elif kana:
        weights["Han"] = kana + han
    return max(weights, key=lambda script: weights[script])


class Scripts:
    """The scripts of all last answers, and where question and answer differ."""

    def __init__(self) -> None:
        self.rows: Dict[str, Tally] = {}  # "none": no letters
        self.crossed = Tally()

    def add(self, number: int, question: str, answer: str) -> None:
        """One more row."""
        asked, answered = main_script(question), main_script(answer)
        self.rows.setdefault(answered or "none", Tally()).add(number)
        if asked and answered and asked != answered:
            self.crossed.add(number)

    def counts(self) -> Dict[str, int]:
        """Rows by script, the most frequent first."""
        ordered = sorted(self.rows.items(), key=lambda item: -item[1].count)
        return {script: tally.count for script, tally in ordered}

    def remarks(self) -> List[Remark]:
        """What is to be said of them."""
        found = []
        counts = self.counts()
        counts.pop("none", None)
        rows = sum(counts.values())
        if len(counts) > 1:
            shares = ", ".join(f"{script} {count / rows:.1%}" for script, count in counts.items())
            found.append(
                Remark("scripts", INFO, f"Answers are in {len(counts)} scripts: {shares}.", rows, ())
            )
        for script, count in list(counts.items())[1:]:
            if rows >= FEWEST_FOR_STRAYS and count < STRAY_SHARE * rows:
                text = f"{{answers}} {{are}} in {script}, unlike over 99% of the set."
                hint = "Look whether they belong there."
                found.append(self.rows[script].remark("stray-script", WARNING, text, hint))
        if self.crossed.count:
            text = "{answers} {are} in another script than the question."
            hint = "Right for translations; else the model learns to answer in the wrong language."
            found.append(self.crossed.remark("crossed-scripts", INFO, text, hint))
        return found
