"""Rows as tokens: named templates, what is learnt of a row, the preview, and the store that the next run reads."""

import pytest

# How each named template writes one conversation, as its makers' own tools write it; `plain` begins as the tokenizer.
WRITTEN = {
    "plain": "S\n\n### Instruction:\nQ1\n\n### Response:\nA1</s>\n\n### Instruction:\nQ2\n\n### Response:\nA2</s>",
    "alpaca": "<s>S\n\n### Instruction:\nQ1\n\n### Response:\nA1</s>\n\n### Instruction:\nQ2\n\n### Response:\nA2</s>",
    "vicuna": "<s>S USER: Q1 ASSISTANT: A1</s>USER: Q2 ASSISTANT: A2</s>",
    "zephyr": "<|system|>\nS</s>\n<|user|>\nQ1</s>\n<|assistant|>\nA1</s>\n<|user|>\nQ2</s>\n<|assistant|>\nA2</s>\n",
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n"
    "<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\nA2<|im_end|>\n",
    "llama2": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nQ1 [/INST] A1 </s><s>[INST] Q2 [/INST] A2 </s>",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    "Q1<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nQ2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA2<|eot_id|>",
    "mistral": "<s>[INST] S\n\nQ1[/INST] A1</s>[INST] Q2[/INST] A2</s>",
    "gemma": "<s><start_of_turn>user\nS\n\nQ1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n"
    "<start_of_turn>user\nQ2<end_of_turn>\n<start_of_turn>model\nA2<end_of_turn>\n",
    "phi": "<|system|>\nS<|end|>\n<|user|>\nQ1<|end|>\n<|assistant|>\nA1<|end|>\n<|user|>\nQ2<|end|>\n"
    "<|assistant|>\nA2<|end|>\n",
    "glm": "[gMASK]<sop><|system|>\nS<|user|>\nQ1<|assistant|>\nA1<|user|>\nQ2<|assistant|>\nA2",
    "deepseek": "<s>S<｜User｜>Q1<｜Assistant｜>A1</s><｜User｜>Q2<｜Assistant｜>A2</s>",
}
WRITTEN["qwen"] = WRITTEN["chatml"]
# What ends an answer where it is not the end token.
ENDS = {
    "chatml": "<|im_end|>",
    "qwen": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "phi": "<|end|>",
}

ENCODE = r"""
import copy, hashlib, shutil
from array import array
from pathlib import Path
import numpy
from envdoc.train import encoders, labels, preview, templates, token_store
from envdoc.train.config import Data
from envdoc.train.data import Row
from envdoc.train.errors import TrainError
from envdoc.train.tiny import make_tiny
from transformers import AutoTokenizer

make_tiny(Path("base"), ["What is two? Two is 2.", "Hello there, and again hello"] * 20, 0)
own = AutoTokenizer.from_pretrained("base")
bare = copy.deepcopy(own)
bare.chat_template = None
marked = copy.deepcopy(own)  # has the marks of every template, as ends of turn that are flagged and not named
from tokenizers import AddedToken
every = sorted({mark for named in templates.NAMED.values() for mark in named.marks})
marked.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in every])
Path("rows.jsonl").write_text("")

def turns(*texts):
    roles = ["system", "user", "assistant", "user", "assistant"]
    return [{"role": r, "content": t} for r, t in zip(roles, texts) if t is not None]
def data(**settings):
    return Data(**{"path": "rows.jsonl", **settings})
def learnt(tokenizer, row):
    return [tokenizer.decode(ids) for ids, yes in preview.stretches(row) if yes]
def refused(function, *args, **settings):
    try:
        return function(*args, **settings)
    except TrainError as error:
        return [error.message, error.hint]

written, taught = {}, {}
for name in templates.NAMED:
    tokenizer = bare if name == "plain" else marked
    way = labels.choose(tokenizer, data(template=name))
    dressed = copy.deepcopy(tokenizer)
    dressed.chat_template = way.chat_template
    written[name] = dressed.apply_chat_template(turns("S", "Q1", "A1", "Q2", "A2"), tokenize=False)
    row = way.tokens(Row(1, tuple(turns(None, "Q1", "A1", "Q2", "A2"))))
    taught[name] = learnt(tokenizer, row)

# What is learnt of a row.
bare_text = copy.deepcopy(own)
bare_text.chat_template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
silent = copy.deepcopy(own)  # never shows an answer
silent.chat_template = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"
conversation = Row(5, tuple(turns(None, "What is two?", "Two is 2.", "Hello?", "Hello there")))
about_marks = Row(6, tuple(turns(None, "What is two?", "Say </s> to end it")))
def one(tokenizer, row=conversation, **settings):
    corpus = labels.encode([row], tokenizer, data(**settings))
    return [learnt(tokenizer, corpus.rows[0]), list(corpus.notes)]
ways = {
    "answers": one(own), "last": one(own, train_on="last"), "all": one(own, train_on="all"),
    "plain last": one(bare, train_on="last"), "plain all": one(bare, train_on="all"),
    "marks in it": one(bare_text, about_marks)[0],
    "nothing": refused(one, silent),
    "few": one(own, Row(9, tuple(turns(None, "hello " * 90, "2")))),
    "strange end": one(marked, template="chatml")[1],
    "missing": refused(one, own, template="llama3"),
    "missing, plain": refused(one, bare, template="glm"),
    "differs": one(own, template="plain")[1],
}
def asked(tokenizer, name):
    dressed, way = copy.deepcopy(tokenizer), labels.choose(tokenizer, data(template=name))
    dressed.chat_template = way.chat_template
    ids = templates.prompt_ids(dressed, conversation.messages[:3])
    row = way.tokens(conversation)
    learns = [label != labels.MASKED for label in row.labels]
    begin = [place for place in range(1, len(learns)) if learns[place] and not learns[place - 1]][-1]
    return ids == row.input_ids[:begin]
ways["asked alike"] = [name for name in templates.NAMED if not asked(bare if name == "plain" else marked, name)]
again = copy.deepcopy(bare)
again.chat_template = labels.choose(bare, data()).chat_template
ways["saved plain is plain"] = [labels.choose(t, data()).template for t in (own, bare, again)]
folder = Path("adapter")
marked.chat_template = labels.choose(marked, data(template="llama3")).chat_template
templates.save(marked, folder)
ways["saved"] = [AutoTokenizer.from_pretrained("adapter").chat_template == marked.chat_template,
                 (folder / "chat_template.jinja").read_text() == templates.text_of("llama3")]

# The preview.
row = labels.choose(own, data()).tokens(Row(3, tuple(turns(None, "What\nis \x1b[31mtwo?", "Two is 2."))))
shown = {"plain": preview.lines([row], own, False), "coloured": preview.lines([row] * 3, own, True)}

# The store.
many = [Row(n, tuple(turns(None, f"What is {n}?", f"It is {n % 97}, {n % 7}."))) for n in range(1, 2301)]
def told(rows, tokenizer=own, workers="auto", **settings):
    corpus = labels.encode(rows, tokenizer, data(**settings), workers)
    return [corpus.stored, corpus.encoded_sha256, len(corpus.rows), corpus.tokens, corpus.answer_tokens]
def by_hand(corpus):
    digest = hashlib.sha256()
    for row in corpus.rows:
        digest.update(array("q", [len(row.input_ids), *row.input_ids, *row.labels]).tobytes())
    return [corpus.stored, digest.hexdigest(), len(corpus.rows), sum(len(r.input_ids) for r in corpus.rows),
            sum(r.answer_tokens for r in corpus.rows)]
home = token_store.home()
shutil.rmtree(home, ignore_errors=True)
store = {"one process": told(many, workers=1)}
store["second"] = told(many)
store["by hand"] = by_hand(labels.encode(many, own, data()))
shutil.rmtree(home)
store["three processes"] = told(many, workers=3)
store["left over"] = [path.name for path in home.iterdir() if path.name.startswith(".")]
(place,) = home.iterdir()
with (place / "ids.i32").open("r+b") as stream:
    stream.seek(1000)
    stream.write(b"\xff")
store["torn"] = told(many)
others = [dict(max_length=900), dict(train_on="last"), dict(too_long="drop"), dict(template="plain")]
store["others"] = [told(many, **settings)[0] for settings in others] + [told(many[1:])[0], told(many, marked)[0]]
store["folders"] = len(list(home.iterdir()))
token_store.LIMIT_BYTES = 3 * sum(path.stat().st_size for path in place.iterdir())
told(many[2:])
store["bounded"] = [len(list(home.iterdir())) <= 3, told(many[2:])[0]]
was = os.environ["ENVDOC_HOME"]
os.environ["ENVDOC_HOME"] = "/proc/nowhere"
store["no home"] = told(many)
os.environ["ENVDOC_HOME"] = was
long = [*many[:1700], Row(1701, tuple(turns(None, "hello " * 2000, "2"))), *many[1701:2200],
        Row(2201, tuple(turns(None, "hello " * 2000, "2"))), *many[2201:]]
store["refused"] = [refused(told, long, workers=n)[0] for n in (1, 3)]
def ended(rows):
    os._exit(9)
store["killed"] = refused(lambda: list(encoders.parts(many, ended, 2)))
corpus = labels.encode(many, own, data())
store["lazy"] = [corpus.rows[-1].number, [r.number for r in corpus.rows[1:3]], type(corpus.rows).__name__,
                 corpus.rows[7].number, list(corpus.lengths[:2]) == [len(r.input_ids) for r in corpus.rows[:2]]]
print(json.dumps({"written": written, "taught": taught, "ways": ways, "shown": shown, "store": store},
                 ensure_ascii=False, default=bool))
"""


@pytest.fixture(scope="module")
def encoded(inside, tmp_path_factory):
    """Every case above, from one child."""
    return inside(tmp_path_factory.mktemp("tokens"), ENCODE)


def test_named_templates_write_what_their_makers_write(encoded):
    """A conversation with a system message and two exchanges, letter by letter."""
    assert WRITTEN == encoded["written"]


def test_every_template_teaches_the_answers_and_their_ends(encoded):
    """The end is the template's own mark, or the end token; GLM's earlier answers end with the next question's mark."""
    expected = {name: [f"A1{ENDS.get(name, '</s>')}", f"A2{ENDS.get(name, '</s>')}"] for name in WRITTEN}
    expected["glm"] = ["\nA1<|user|>", "\nA2</s>"]
    expected["llama2"] = [" A1 </s>", " A2 </s>"]
    expected["mistral"] = expected["vicuna"] = [" A1</s>", " A2</s>"]

    assert expected == encoded["taught"]


def test_what_is_learnt_of_a_row_is_chosen(encoded):
    """Every answer, the last one, or all of it; always with the end."""
    ways = encoded["ways"]

    assert [["Two is 2.</s>", "Hello there</s>"], []] == ways["answers"]
    assert ["Hello there</s>"] == ways["last"][0]
    (everything,) = ways["all"][0]
    assert everything.startswith("<s><|user|>What is two?") and everything.endswith("Hello there</s>")
    assert ["Hello there</s>"] == ways["plain last"][0]
    assert 1 == len(ways["plain all"][0]) and ways["plain all"][0][0].endswith("Hello there</s>")


def test_an_end_token_inside_an_answer_does_not_cut_it(encoded):
    """The answer is learnt to its own end, where a template without an end gets the end token."""
    assert ["Say </s> to end it\n</s>"] == encoded["ways"]["marks in it"]


def test_rows_and_templates_that_cannot_be_learnt_are_refused(encoded):
    """A template that shows no answer; marks that the vocabulary lacks, with what would fit."""
    ways = encoded["ways"]

    assert (
        "Nothing of row 5 would be learnt: the chat template leaves none of its answer in the text."
        == ways["nothing"][0]
    )
    assert ways["missing"][0].startswith(
        "The template `llama3` writes <|start_header_id|>, which is no token of this tokenizer: it would be read as "
    )
    assert "Leave `data.template` out, for the tokenizer's own." == ways["missing"][1]
    assert "Use `data.template=plain`, which needs no marks." == ways["missing, plain"][1]


def test_what_may_be_wrong_is_told(encoded):
    """Few tokens learnt, an end at which nothing stops, a template that is not the tokenizer's own."""
    ways = encoded["ways"]

    assert ways["few"][1][0].startswith("Only ") and "% of the tokens are learnt" in ways["few"][1][0]
    assert 1 == len(ways["few"][1])
    assert any(
        "end with '<|im_end|>', and generation with this model stops at '</s>'" in n
        for n in ways["strange end"]
    )
    assert ways["differs"][0].startswith("`data.template` is plain, and the tokenizer's own template writes")


def test_the_template_is_saved_so_that_chat_uses_the_same(encoded):
    """Loaded again, the tokenizer has it; one that was saved with `plain` counts as without a template."""
    assert [True, True] == encoded["ways"]["saved"]
    assert ["the tokenizer's own", "plain", "plain"] == encoded["ways"]["saved plain is plain"]


def test_samples_and_chat_ask_as_was_trained(encoded):
    """The ids of a question are those before its answer in training, in every named template."""
    assert [] == encoded["ways"]["asked alike"]


def test_the_preview_shows_every_token_and_obeys_none(encoded):
    """Learnt and read told apart, special tokens and line ends visible, a row's escape sequences shown as text."""
    heading, counts, text = encoded["shown"]["plain"]

    assert "Preview   the first row; what is learnt is in [[ ]]." == heading
    assert counts.startswith("          Row 3: ") and "learnt (" in counts
    assert "          <s><|user|>What\\nis \\x1b[31mtwo?<|assistant|>[[Two is 2.</s>]]" == text
    coloured = encoded["shown"]["coloured"]
    assert 5 == len(coloured)
    assert "\x1b[90m<s><|user|>" in coloured[2] and "\x1b[32mTwo is 2.</s>\x1b[0m" in coloured[2]


def test_the_store_and_the_processes_change_nothing(encoded):
    """Hash, rows and counts are those that one process makes without a store, as they were defined from the first."""
    store = encoded["store"]

    made = [False, *store["one process"][1:]]
    assert 2300 == made[2]
    assert made == store["one process"] == store["three processes"] == store["torn"] == store["no home"]
    assert [True, *made[1:]] == store["second"] == store["by hand"]
    assert [] == store["left over"]


def test_the_store_is_asked_by_everything_that_shapes_it(encoded):
    """Another length, part, template, tokenizer or row: encoded anew."""
    assert [False] * 6 == encoded["store"]["others"]
    assert 7 == encoded["store"]["folders"]


def test_the_store_is_bounded(encoded):
    """The oldest go; what was just written stays."""
    assert [True, True] == encoded["store"]["bounded"]


def test_failures_in_processes_are_sentences(encoded):
    """The first unfit row, however many processes; a process that is killed ends the run and does not hang it."""
    one, three = encoded["store"]["refused"]

    assert one == three and one.startswith("Row 1701 is ")
    assert encoded["store"]["killed"][0].startswith("A process that encoded rows was ended from outside")


def test_rows_are_read_where_they_are_asked_for(encoded):
    """A sequence over the mapped files: places, slices, lengths."""
    assert [2300, [2, 3], "StoredRows", 8, True] == encoded["store"]["lazy"]
