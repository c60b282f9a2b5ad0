"""Rules about the tokenizer's files in a model's folder (`check --model DIR`): special tokens, ids, the chat template.

What an old conversion left there is a fault of the data, and no release of a library cures it (tloen/alpaca-lora#279).
"""

import re
import shlex
from typing import Dict, List, Optional, Tuple

from envdoc.doctor.facts.snapshot import ModelFolder, Snapshot, SpecialToken
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import satisfies

LLAMA = ("LlamaTokenizer", "LlamaTokenizerFast")
OLD_CLASS = "LLaMATokenizer"
TRAINING = ("training", "stopping")


def folder_of(machine: Snapshot) -> ModelFolder:
    """The folder that was read. Raises Skip without one."""
    if machine.model_folder is None:
        raise Skip("no folder of a model was named (`--model DIR`)")
    return machine.model_folder


def name_of(folder: ModelFolder) -> str:
    """The folder's own name, short enough for a title; of the hub's cache the model's."""
    cached = re.search(r"models--([^/]+)/snapshots/[^/]+/?$", folder.path)
    name = cached.group(1).rpartition("--")[2] if cached else folder.path.rstrip("/").rpartition("/")[2]
    return shorten(name or folder.path, 20)


def repair_of(folder: ModelFolder) -> Tuple[str, ...]:
    """The command that shows what envdoc would mend in the folder."""
    return (f"envdoc fix --model {shlex.quote(folder.path)} --diff",)


def _vocabulary(folder: ModelFolder) -> ModelFolder:
    if not folder.tokenizer.vocabulary:
        raise Skip("the vocabulary stands in no file that is read here (tokenizer.json, tokenizer.model)")
    return folder


def _known(folder: ModelFolder) -> Dict[str, SpecialToken]:
    """The special tokens whose id is known, by role: as the files name them, else as tokenizer.model has them."""
    named = {one.role: one for one in folder.tokenizer.specials}
    found = {role: one for role, one in named.items() if one.id is not None}
    for one in folder.tokenizer.by_model:
        if one.role not in named or not named[one.role].token:
            found[one.role] = one
    return found


@rule("TOK020")
def empty_special_tokens(machine: Snapshot) -> List[Problem]:
    """Special tokens are empty strings, which the slow LLaMA tokenizer reads as <unk>."""
    folder = folder_of(machine)
    empty = folder.tokenizer.empty
    if not folder.tokenizer.files:
        raise Skip("there is no file of a tokenizer")
    if not empty:
        return []
    roles = sorted({line.rpartition(" ")[2] for line in empty})
    values = {"model": name_of(folder), "roles": ", ".join(roles)}
    commands = repair_of(folder) if folder.tokenizer.by_model else ()
    return [Problem(values, empty, TRAINING, commands=commands)]


@rule("TOK021")
def old_class_name(machine: Snapshot) -> List[Problem]:
    """The class of the tokenizer is spelled as before transformers 4.28."""
    folder = folder_of(machine)
    if not folder.tokenizer.tokenizer_class:
        raise Skip("no tokenizer_config.json names a class")
    if folder.tokenizer.tokenizer_class != OLD_CLASS:
        return []
    return [Problem({"model": name_of(folder)}, (), ("AutoTokenizer",), commands=repair_of(folder))]


@rule("TOK022")
def ids_differ(machine: Snapshot) -> List[Problem]:
    """config.json or generation_config.json gives a special token another id than the vocabulary."""
    folder = _vocabulary(folder_of(machine))
    known = _known(folder)
    told = [one for one in folder.config.ids if one.role in known]
    if not told:
        raise Skip("config.json gives no id of a special token that the tokenizer names")
    wrong = [one for one in told if known[one.role].id not in one.ids and not _unset(one.role, one.ids)]
    if not wrong:
        return []
    right_eos = any(one.role == "eos" and known["eos"].id in one.ids for one in told)
    grave = any(one.role == "eos" for one in wrong) and not right_eos
    first = next((one for one in wrong if one.role == "eos"), wrong[0])
    values = {
        "file": first.file,
        "role": first.role,
        "told": ", ".join(map(str, first.ids[:3])),
        "right": f"{known[first.role].id} ({shorten(known[first.role].token, 16)})",
    }
    evidence = tuple(
        f"{one.file}: {one.role}_token_id {', '.join(map(str, one.ids))}; {known[one.role].token!r} is "
        f"{known[one.role].id} in {folder.tokenizer.vocabulary}"
        for one in wrong
    )
    severity = Severity.ERROR if grave else Severity.WARNING
    commands = repair_of(folder) if folder.tokenizer.by_model else ()
    return [Problem(values, evidence, ("generation", "stopping"), severity, commands)]


def _unset(role: str, ids: Tuple[int, ...]) -> bool:
    """LLaMA's first conversions write -1 for a pad token that there is none of."""
    return role == "pad" and ids == (-1,)


@rule("TOK023")
def special_not_in_vocabulary(machine: Snapshot) -> List[Problem]:
    """A special token is no token of the vocabulary, so that it is added behind the last row."""
    folder = _vocabulary(folder_of(machine))
    if not folder.tokenizer.specials:
        raise Skip("no file names a special token")
    lost = [one for one in folder.tokenizer.specials if one.token and one.id is None]
    if not lost:
        return []
    rows = folder.weights.embedding_rows or folder.config.vocab_size
    size = folder.tokenizer.vocabulary_size or 0
    spare = rows is not None and size + len(lost) <= rows
    values = {
        "token": shorten(lost[0].token, 20),
        "role": lost[0].role,
        "file": lost[0].file,
        "where": f"row {size}, of which the embedding has {rows}" if rows else f"row {size}",
        "vocabulary": folder.tokenizer.vocabulary,
    }
    evidence = tuple(f"{one.file}: {one.role}_token is {one.token!r}" for one in lost)
    return [Problem(values, evidence, TRAINING, Severity.WARNING if spare else Severity.ERROR)]


@rule("TOK024")
def vocabulary_beyond_embedding(machine: Snapshot) -> List[Problem]:
    """The vocabulary has ids for which the embedding has no row."""
    folder = _vocabulary(folder_of(machine))
    rows = folder.weights.embedding_rows or folder.config.vocab_size
    size = folder.tokenizer.vocabulary_size
    if rows is None or size is None:
        raise Skip("nothing tells how many rows the embedding has")
    if size <= rows:
        return []
    source = folder.weights.embedding or "vocab_size of config.json"
    values = {
        "size": f"{size:,}",
        "rows": f"{rows:,}",
        "token": shorten(folder.tokenizer.largest_token, 24),
        "id": size - 1,
        "source": source,
    }
    return [Problem(values, (f"{source}: {rows}", f"{folder.tokenizer.vocabulary}: {size}"), TRAINING)]


@rule("TOK025")
def pad_is_eos(machine: Snapshot) -> List[Problem]:
    """The padding token is the end token, which collators hide from the loss."""
    folder = folder_of(machine)
    named = {one.role: one for one in folder.tokenizer.specials if one.token}
    if "eos" not in named or "pad" not in named:
        raise Skip("no file names both a pad and an eos token")
    if named["eos"].token != named["pad"].token:
        return []
    values = {"model": name_of(folder), "token": shorten(named["eos"].token, 24)}
    return [Problem(values, (f"{named['pad'].file}: pad_token is {named['pad'].token!r}",), TRAINING)]


@rule("TOK026")
def specials_are_one(machine: Snapshot) -> List[Problem]:
    """Beginning and end are one token, and that is the unknown one."""
    folder = folder_of(machine)
    named = {one.role: one for one in folder.tokenizer.specials if one.token}
    if "eos" not in named or "unk" not in named:
        raise Skip("no file names both an eos and an unk token")
    if named["eos"].token != named["unk"].token or folder.tokenizer.vocabulary != "tokenizer.model":
        return []  # GPT-2 and its kin use <|endoftext|> for everything, and were trained so
    values = {"model": name_of(folder), "token": shorten(named["eos"].token, 24)}
    evidence = tuple(f"{one.file}: {one.role}_token is {one.token!r}" for one in named.values())
    return [Problem(values, evidence, TRAINING, commands=repair_of(folder))]


@rule("TOK027")
def no_add_bos(machine: Snapshot) -> List[Problem]:
    """transformers 5 adds no <s> where the folder says nothing of it."""
    folder = folder_of(machine)
    tokenizer = folder.tokenizer
    version = version_of(machine, "transformers")
    if "tokenizer.model" not in tokenizer.files or tokenizer.tokenizer_class not in (*LLAMA, OLD_CLASS):
        raise Skip("it is no LLaMA tokenizer with a tokenizer.model")
    if version is None:
        raise Skip("no transformers was found")
    silent = tokenizer.add_bos_token is None and "tokenizer.json" not in tokenizer.files
    if not silent or not satisfies(version, ">=5.0.0.dev0"):
        return []
    return [Problem({"transformers": version}, (), ("training",), commands=repair_of(folder))]


@rule("TOK028")
def tokenizer_files(machine: Snapshot) -> List[Problem]:
    """A file of the tokenizer cannot be read, or there is none."""
    folder = folder_of(machine)
    tokenizer = folder.tokenizer
    if not tokenizer.files:
        if any("okenization" in one or "Tokenizer" in one for one in folder.config.code):
            raise Skip("its tokenizer is code of its own")
        values = {
            "model": name_of(folder),
            "what": "has no file of a tokenizer",
            "detail": "There is none of tokenizer.json, tokenizer.model, vocab.json or tokenizer_config.json",
        }
        return [Problem(values, (), ("tokenizer",), Severity.WARNING)]
    return [
        Problem(
            {
                "model": name_of(folder),
                "what": f"has a {shorten(one.file, 26)} that cannot be read",
                "detail": f"Of {one.file}: {one.problem}",
            },
            (f"{one.file}: {one.problem}",),
            ("tokenizer",),
        )
        for one in tokenizer.problems
    ]


@rule("TOK029")
def two_vocabularies(machine: Snapshot) -> List[Problem]:
    """tokenizer.json and tokenizer.model give a token other ids."""
    folder = folder_of(machine)
    if not {"tokenizer.json", "tokenizer.model"} <= set(folder.tokenizer.files):
        raise Skip("there are not both a tokenizer.json and a tokenizer.model")
    apart = folder.tokenizer.apart
    return [Problem({"model": name_of(folder), "first": apart[0]}, apart, ("training",))] if apart else []


def _template(machine: Snapshot) -> ModelFolder:
    folder = folder_of(machine)
    if folder.tokenizer.template is None:
        raise Skip("it has no chat template")
    return folder


@rule("TOK030")
def template_never_ends(machine: Snapshot) -> List[Problem]:
    """The chat template writes no end token, so that a model that is trained on it learns none."""
    folder = _template(machine)
    template = folder.tokenizer.template
    assert template is not None
    if template.names_eos:
        return []
    values = {
        "model": name_of(folder),
        "eos": shorten(template.eos or "the end token", 20),
        "file": template.file,
    }
    return [Problem(values, (f"{template.file}: neither eos_token nor {template.eos!r}",), TRAINING)]


@rule("TOK031")
def template_broken(machine: Snapshot) -> List[Problem]:
    """The chat template is none that Jinja reads."""
    folder = _template(machine)
    template = folder.tokenizer.template
    assert template is not None
    return [
        Problem({"model": name_of(folder), "fault": fault, "file": template.file}, (fault,), ("chat",))
        for fault in template.faults
    ]


@rule("TOK032")
def two_templates(machine: Snapshot) -> List[Problem]:
    """Two files hold two chat templates, and the release of transformers decides which one is taken."""
    folder = _template(machine)
    template = folder.tokenizer.template
    assert template is not None
    other: Optional[str] = template.differs_from
    values = {"model": name_of(folder), "file": template.file, "other": other}
    return [Problem(values, (), ("chat",))] if other else []
