"""What llama.cpp computes from exported files, beside what transformers computes from base and adapter.

usage: llama_answers.py SOURCE RUN MODEL FILE.gguf... [BASE.gguf+LORA.gguf]

SOURCE is llama-cpp-python's source: its bindings (ctypes alone) are read from there, the library that was built from it
comes from LLAMA_CPP_LIB_PATH. RUN is the run's folder, MODEL its base. Of 24 bundled questions: are they cut into the
same tokens (told, and no failure: docs/after-training.md); then, given transformers' tokens, how far are the logits
apart at every place of question and answer, and is the greedy answer the same? Exit code 1 where a file without
rounding (fp32, or base and adapter) does not give the trained model's answers.
"""

import ctypes
import json
import sys
import types
from pathlib import Path

QUESTIONS, ANSWER_TOKENS = 24, 24
ROWS = Path(__file__).resolve().parents[2] / "train/assets/instructions.jsonl"
EXACT_LOGITS = 1e-3  # fp32 against fp32: sums in another order


def bindings(source):
    """llama_cpp/llama_cpp.py alone: the package itself wants a cache and a server's libraries."""
    package = types.ModuleType("llama_cpp")
    package.__path__ = [str(Path(source) / "llama_cpp")]
    sys.modules["llama_cpp"] = package
    from llama_cpp import llama_cpp

    return llama_cpp


class Llama:
    """One GGUF file in llama.cpp, keys and values in fp32, one thread; with `lora` an adapter's file on top."""

    def __init__(self, api, file, lora=None):
        self.api = api
        self.model = api.llama_model_load_from_file(str(file).encode(), api.llama_model_default_params())
        asked = api.llama_context_default_params()
        asked.n_ctx = asked.n_batch = asked.n_ubatch = 512
        asked.n_threads = asked.n_threads_batch = 1
        asked.type_k = asked.type_v = 0  # GGML_TYPE_F32; by default fp16
        asked.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = api.llama_init_from_model(self.model, asked)
        assert self.model and self.context, f"llama.cpp cannot load {file}"
        if lora is not None:
            adapter = api.llama_adapter_lora_init(self.model, str(lora).encode())
            one = (api.llama_adapter_lora_p_ctypes * 1)(adapter)
            assert 0 == api.llama_set_adapters_lora(self.context, one, 1, (ctypes.c_float * 1)(1.0))
        self.vocabulary = api.llama_model_get_vocab(self.model)
        self.size = api.llama_vocab_n_tokens(self.vocabulary)

    def tokens(self, text):
        """The ids of a text with its special tokens read as such, and none added."""
        encoded, room = text.encode(), 4096
        ids = (self.api.llama_token * room)()
        count = self.api.llama_tokenize(self.vocabulary, encoded, len(encoded), ids, room, False, True)
        return list(ids[:count])

    def logits(self, ids):
        """(places, vocabulary)."""
        import numpy

        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        batch = self.api.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for place, token in enumerate(ids):
            batch.token[place], batch.pos[place] = token, place
            batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, 0, 1
        assert 0 == self.api.llama_decode(self.context, batch)
        self.api.llama_batch_free(batch)
        rows = [self.api.llama_get_logits_ith(self.context, place) for place in range(len(ids))]
        return numpy.stack([numpy.ctypeslib.as_array(row, (self.size,)).copy() for row in rows])


def greedy(logits_of, ids, end):
    """The likeliest token at each place, up to the end token."""
    said = []
    while len(said) < ANSWER_TOKENS and end not in said:
        said.append(int(logits_of([*ids, *said])[-1].argmax()))
    return said


def main(source, run, model, *files):
    """Compare each file; 1 where one is not what was trained."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    api = bindings(source)
    quiet = api.llama_log_callback(lambda level, text, data: None)
    api.llama_log_set(quiet, None)
    api.llama_backend_init()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(f"{run}/adapter")
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    trained = PeftModel.from_pretrained(base, f"{run}/adapter").eval()

    def ours(ids):
        with torch.no_grad():
            return trained(input_ids=torch.tensor([ids])).logits[0].float().numpy()

    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()[:QUESTIONS]]
    turns = [[{"role": "user", "content": row["instruction"]}] for row in rows]
    asked = [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=True) for one in turns]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in asked]
    end = tokenizer.eos_token_id
    answers = [greedy(ours, one, end) for one in ids]
    lines = [[*one, *answer] for one, answer in zip(ids, answers)]
    expected = [ours(line) for line in lines]
    with trained.disable_adapter():
        untouched = [ours(line) for line in lines]
    effect = max(float(abs(a - b).max()) for a, b in zip(untouched, expected))
    print(
        f"{QUESTIONS} questions, {sum(map(len, lines))} places; the adapter itself moves a logit by up to {effect:.3g}"
    )
    print(
        "| file | the same tokens | largest difference of logits | likeliest token the same | answers the same |"
    )
    print("|---|---|---|---|---|")
    failed = False
    for file in files:
        llama = Llama(api, *file.split("+"))
        cut = sum(llama.tokens(text) == one for text, one in zip(asked, ids))
        theirs = [llama.logits(line) for line in lines]
        apart = max(float(abs(a - b).max()) for a, b in zip(theirs, expected))
        same = [int((a.argmax(-1) == b.argmax(-1)).sum()) for a, b in zip(theirs, expected)]
        equal = sum(greedy(llama.logits, one, end) == answer for one, answer in zip(ids, answers))
        share = sum(same) / sum(map(len, lines))
        print(f"| `{file}` | {cut} of {len(ids)} | {apart:.2g} | {share:.1%} | {equal} of {len(ids)} |")
        exact = "fp32" in file or "+" in file
        failed |= exact and (apart > EXACT_LOGITS or equal < len(ids))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
