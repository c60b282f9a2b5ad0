"""For each rule about a model's folder: folders that fail it, and that pass."""

from dataclasses import replace

from rule_machines import machine

from envdoc.doctor.facts.snapshot import (
    ChatTemplate,
    FileProblem,
    ModelConfig,
    ModelFolder,
    ModelTokenizer,
    ModelWeights,
    SpecialIds,
    SpecialToken,
    WeightFile,
)

CONFIG = ModelConfig(
    "",
    "llama",
    ("LlamaForCausalLM",),
    32000,
    4096,
    "float16",
    (SpecialIds("bos", "config.json", (1,)), SpecialIds("eos", "config.json", (2,))),
)
OWN = tuple(
    SpecialToken(*row)
    for row in (
        ("unk", "<unk>", "tokenizer.model", 0),
        ("bos", "<s>", "tokenizer.model", 1),
        ("eos", "</s>", "tokenizer.model", 2),
    )
)
NAMED = tuple(replace(one, file="tokenizer_config.json") for one in OWN)
TEMPLATE = ChatTemplate("tokenizer_config.json", eos="</s>")
TOKENIZER = ModelTokenizer(
    files=("special_tokens_map.json", "tokenizer.model", "tokenizer_config.json"),
    tokenizer_class="LlamaTokenizer",
    vocabulary="tokenizer.model",
    vocabulary_size=32000,
    largest_token="給",
    specials=NAMED,
    by_model=OWN,
    add_bos_token=True,
    template=TEMPLATE,
)
SHARDS = tuple(WeightFile(f"model-0000{n}-of-00002.safetensors", 5 * 10**9, tensors=160) for n in (1, 2))
WEIGHTS = ModelWeights(
    SHARDS,
    "model.safetensors.index.json",
    embedding="model.embed_tokens.weight",
    embedding_rows=32000,
    embedding_width=4096,
)
GOOD = ModelFolder("/home/user/models/Llama-2-7b-hf", CONFIG, TOKENIZER, WEIGHTS)


def model(config=None, tokenizer=None, weights=None, packages=None, path=GOOD.path):
    """The healthy machine with the good folder, changed."""
    found = machine().installed(**packages) if packages else machine()
    folder = ModelFolder(
        path,
        replace(CONFIG, **(config or {})),
        replace(TOKENIZER, **(tokenizer or {})),
        replace(WEIGHTS, **(weights or {})),
    )
    return found.but(model_folder=folder)


def special(role, token, number=None):
    """The special tokens of tokenizer_config.json, one of them another."""
    rest = tuple(one for one in NAMED if one.role != role)
    return {"specials": (*rest, SpecialToken(role, token, "tokenizer_config.json", number))}


def pickle(**changes):
    """Weights in one .bin."""
    return {
        "files": (replace(WeightFile("pytorch_model.bin", 10**9, "pickle", 290), **changes),),
        "index": "",
    }


def broken(**changes):
    """The second shard is not as it should be."""
    return {"files": (SHARDS[0], replace(SHARDS[1], **changes))}


GOODS = [model()]
EMPTY = (
    "tokenizer_config.json: bos_token",
    "tokenizer_config.json: eos_token",
    "tokenizer_config.json: unk_token",
)
OLD_IDS = (SpecialIds("bos", "config.json", (0,)), SpecialIds("eos", "config.json", (1,)))
LONG = "/home/user/models/" + "m" * 90
CODE = ("configuration_chatglm.ChatGLMConfig", "modeling_chatglm.ChatGLMForConditionalGeneration")

FAILING = {
    "TOK020": [
        model(tokenizer={"empty": EMPTY, "specials": ()}),
        model(tokenizer={"empty": EMPTY, "by_model": ()}, path=LONG),
    ],
    "TOK021": [model(tokenizer={"tokenizer_class": "LLaMATokenizer"}, path=LONG)],
    "TOK022": [
        model(config={"ids": OLD_IDS}, tokenizer={"specials": ()}),
        model(config={"ids": (*CONFIG.ids, SpecialIds("eos", "generation_config.json", (1, 3)))}),
        model(config={"ids": (SpecialIds("bos", "config.json", (0,)), CONFIG.ids[1])}),
    ],
    "TOK023": [
        model(tokenizer=special("pad", "[PAD]")),
        model(tokenizer=special("pad", "[PAD]"), weights={"embedding_rows": 32064}),
        model(
            tokenizer=special("eos", "<|" + "e" * 60 + "|>"),
            config={"vocab_size": None},
            weights={"embedding_rows": None},
        ),
    ],
    "TOK024": [
        model(tokenizer={"vocabulary_size": 32001, "largest_token": "[PAD]"}),
        model(
            tokenizer={"vocabulary_size": 32001, "largest_token": "t" * 80}, weights={"embedding_rows": None}
        ),
    ],
    "TOK025": [model(tokenizer=special("pad", "</s>", 2))],
    "TOK026": [model(tokenizer=special("eos", "<unk>", 0), path=LONG)],
    "TOK027": [
        model(tokenizer={"add_bos_token": None}),
        model(tokenizer={"add_bos_token": None, "tokenizer_class": "LLaMATokenizer"}),
    ],
    "TOK028": [
        model(tokenizer={"files": ()}, path=LONG),
        model(
            tokenizer={"problems": (FileProblem("special_tokens_map.json", "it is not JSON: line 1"),)},
            path=LONG,
        ),
    ],
    "TOK029": [
        model(
            tokenizer={
                "files": (*TOKENIZER.files, "tokenizer.json"),
                "apart": ("</s>: 0 in tokenizer.json, 2 in tokenizer.model",),
            }
        )
    ],
    "TOK030": [model(tokenizer={"template": replace(TEMPLATE, names_eos=False)}, path=LONG)],
    "TOK031": [
        model(tokenizer={"template": replace(TEMPLATE, faults=("the block `if` is not closed",))}, path=LONG)
    ],
    "TOK032": [
        model(
            tokenizer={
                "template": replace(
                    TEMPLATE, file="chat_template.jinja", differs_from="tokenizer_config.json"
                )
            },
        )
    ],
    "TRF020": [
        model(config={"problem": "it is not there", "model_type": ""}, path=LONG),
        model(config={"model_type": ""}, path=LONG),
    ],
    "TRF021": [model(weights={"missing_shards": (SHARDS[1].name,), "files": SHARDS[:1]})],
    "TRF022": [model(weights=broken(is_pointer=True, bytes=134, problem="it is a pointer of Git LFS"))],
    "TRF023": [
        model(weights=broken(faults=("its tensors end at 9 and the file at 8: 1 bytes lack",))),
        model(
            weights=pickle(
                name="pytorch_model-" + "0" * 40 + ".bin", problem="it is a zip, and none of torch.save"
            )
        ),
    ],
    "TRF024": [
        model(weights={"lost": ("lm_head.weight",), "lost_count": 1}),
        model(weights={"unlisted": ("lm_head.weight",), "unlisted_count": 1}),
    ],
    "TRF025": [model(config={"dtype": "fp16"}), model(config={"dtype": "f" * 40}, path=LONG)],
    "TRF026": [model(config={"code": CODE, "missing_code": ("modeling_" + "x" * 60 + ".py",)}, path=LONG)],
    "TRF027": [
        model(config={"code": CODE}, path=LONG),
        model(config={"code": tuple(f"THUDM/chatglm3-6b--{one}" for one in CODE)}),
    ],
    "TRF028": [model(weights=pickle(), packages={"transformers": "4.57.1"}).torch(version="2.4.1+cu121")],
    "TRF029": [
        model(weights=pickle(foreign=("os.system",))),
        model(weights=pickle(foreign=("transformers.training_args.TrainingArguments",))),
    ],
    "TRF030": [
        model(config={"vocab_size": 32001}),
        model(config={"hidden_size": 5120}),
    ],
    "TRF031": [model(weights={"missing": ("layer 31", "lm_head.weight")}, path=LONG)],
    "TRF032": [model(weights={"newer_pickle": "pytorch_model.bin"})],
}
HUB = "/home/user/.cache/huggingface/hub/models--org--m/snapshots/0123456789abcdef0123456789abcdef01234567"
PASSING = {
    **{code: GOODS for code in FAILING},
    "TOK022": [
        *GOODS,
        model(config={"ids": (*CONFIG.ids, SpecialIds("pad", "config.json", (-1,)))}),
        model(config={"ids": (SpecialIds("eos", "generation_config.json", (5, 2)),)}),
    ],
    "TOK024": [*GOODS, model(weights={"embedding_rows": 32064})],  # rows that nobody uses are usual
    "TOK025": [model(tokenizer=special("pad", "<unk>", 0))],
    "TOK026": [
        *GOODS,
        model(tokenizer={**special("eos", "<unk>", 0), "vocabulary": "tokenizer.json"}),  # GPT-2's kin
    ],
    "TOK027": [
        *GOODS,
        model(tokenizer={"add_bos_token": False}),
        model(tokenizer={"add_bos_token": None}, packages={"transformers": "4.57.1"}),
        model(tokenizer={"add_bos_token": None, "files": (*TOKENIZER.files, "tokenizer.json")}),
    ],
    "TOK029": [model(tokenizer={"files": (*TOKENIZER.files, "tokenizer.json")})],
    "TRF023": [*GOODS, model(weights=broken(is_pointer=True, problem="it is a pointer of Git LFS"))],
    "TRF025": [*GOODS, model(config={"dtype": "torch.bfloat16"}), model(config={"dtype": "auto"})],
    "TRF026": [model(config={"code": CODE})],
    "TRF028": [*GOODS, model(weights=pickle()), model(weights=pickle(), packages={"transformers": "4.51.3"})],
    "TRF029": [model(weights=pickle())],
    "TRF031": [model(path=HUB)],
}
SKIPPED = {code: [machine()] for code in FAILING}
