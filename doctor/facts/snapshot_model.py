"""The branch of the snapshot about a model's folder: `check --model DIR`. Nothing is run or unpickled."""

from typing import Optional, Tuple

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class FileProblem:
    """A file of the folder that cannot be read as what it should be, and why."""

    file: str
    problem: str


@dataclass(frozen=True)
class SpecialToken:
    """What one of the tokenizer's files says of one special token. `id` is its place in the vocabulary."""

    role: str  # "bos", "eos", "unk" or "pad"
    token: str = ""
    file: str = ""
    id: Optional[int] = None  # None: it is not in the vocabulary


@dataclass(frozen=True)
class SpecialIds:
    """The ids that config.json or generation_config.json gives a special token; eos may have several."""

    role: str
    file: str
    ids: Tuple[int, ...] = ()


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template that a new transformers takes."""

    file: str
    faults: Tuple[str, ...] = ()  # what no Jinja accepts
    names_eos: bool = True  # the end token, or the variable eos_token, stands in it
    eos: str = ""
    differs_from: str = ""  # a file with another template, which an older transformers takes


@dataclass(frozen=True)
class ModelTokenizer:
    """The tokenizer's files. `vocabulary` is the file whose ids count; "" where none could be read."""

    files: Tuple[str, ...] = ()
    problems: Tuple[FileProblem, ...] = ()
    tokenizer_class: str = ""
    vocabulary: str = ""
    vocabulary_size: Optional[int] = None  # the largest id and one
    largest_token: str = ""
    specials: Tuple[SpecialToken, ...] = ()  # as tokenizer_config.json and special_tokens_map.json name them
    empty: Tuple[str, ...] = ()  # "tokenizer_config.json: bos_token", each with an empty string
    by_model: Tuple[SpecialToken, ...] = ()  # as tokenizer.model itself has them
    apart: Tuple[str, ...] = ()  # where tokenizer.json and tokenizer.model give other ids
    add_bos_token: Optional[bool] = None
    template: Optional[ChatTemplate] = None


@dataclass(frozen=True)
class WeightFile:
    """One file of weights by its header."""

    name: str
    bytes: int = 0
    form: str = "safetensors"  # or "pickle"
    tensors: int = 0
    problem: str = ""
    is_pointer: bool = False  # of Git LFS
    faults: Tuple[str, ...] = ()
    foreign: Tuple[str, ...] = ()  # what its pickle would import beside what tensors need


@dataclass(frozen=True)
class ModelWeights:
    """All files of weights together."""

    files: Tuple[WeightFile, ...] = ()
    index: str = ""  # the file that lists which tensor is in which shard
    missing_shards: Tuple[str, ...] = ()
    lost: Tuple[str, ...] = ()  # tensors that the index places where they are not; the first few
    lost_count: int = 0
    unlisted: Tuple[str, ...] = ()  # tensors of shards that the index does not know
    unlisted_count: int = 0
    embedding: str = ""
    embedding_rows: Optional[int] = None
    embedding_width: Optional[int] = None
    missing: Tuple[str, ...] = ()  # what the model needs and no file has: "layer 3", "lm_head.weight"
    newer_pickle: str = ""  # a .bin that was written after the safetensors that are read instead


@dataclass(frozen=True)
class ModelConfig:
    """config.json, as far as it is held against the other files."""

    problem: str = ""
    model_type: str = ""
    architectures: Tuple[str, ...] = ()
    vocab_size: Optional[int] = None
    hidden_size: Optional[int] = None
    dtype: str = ""
    ids: Tuple[SpecialIds, ...] = ()  # of generation_config.json too
    code: Tuple[str, ...] = ()  # auto_map: "modeling_x.Model", "organisation/name--modeling_x.Model"
    missing_code: Tuple[str, ...] = ()  # modules of it that are not in the folder


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a model."""

    path: str
    config: ModelConfig
    tokenizer: ModelTokenizer
    weights: ModelWeights
