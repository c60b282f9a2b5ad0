"""ChatGLM-6B and models of its kind, which read the question in both directions and write the answer after a mark.

Read in its own code (modeling_chatglm.py, tokenization_chatglm.py, 2023-09-04):

    question ids  [gMASK]  <sop>  answer ids  <eop>

Everything before <sop> sees everything before <sop>; from there on it is causal. Positions are two rows: the place in
the question, then the place in the answer. The model counts both out of the input ids, so each sequence must hold
exactly one [gMASK] <sop>, and rows cannot be packed into one sequence.
"""

from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

from envdoc.train.data import Message, Row
from envdoc.train.errors import ConfigError

if TYPE_CHECKING:  # labels.py, which asks `speaks`, is imported before anybody knows whether torch is there
    import torch

NAME = "ChatGLM's own"


def speaks(tokenizer: Any) -> bool:
    """True for a tokenizer that puts [gMASK] <sop> behind a question, and has no chat template (ChatGLM2 and 3 do)."""
    return (
        getattr(tokenizer, "gmask_token_id", None) is not None
        and hasattr(tokenizer, "build_inputs_with_special_tokens")
        and not getattr(tokenizer, "chat_template", None)
    )


def encode(row: Row, tokenizer: Any) -> Tuple[List[int], List[int], bool]:
    """Ids and labels of a row's last answer under the turns before it, and whether that is its only answer.

    Only what stands behind <sop> is generated, hence one answer a row.
    """
    from envdoc.train.labels import MASKED

    asked = prompt_ids(row.messages[:-1], tokenizer)
    answer = tokenizer(row.messages[-1]["content"], add_special_tokens=False)["input_ids"]
    labels = [*answer, tokenizer.eos_token_id]
    alone = sum(message["role"] == "assistant" for message in row.messages) == 1
    return asked + labels, [MASKED] * len(asked) + labels, alone


def prompt_ids(messages: Sequence[Message], tokenizer: Any) -> List[int]:
    """The ids behind which the model answers the last question of `messages`; they end with [gMASK] <sop>.

    Written as the model's own `chat` writes it: the question alone where it is the first, else in numbered rounds.
    """
    heading, question = "", ""
    rounds: List[Tuple[str, str]] = []
    for message in messages:
        if message["role"] == "system":
            heading += message["content"] + "\n"
        elif message["role"] == "user":
            question += ("\n" if question else "") + message["content"]
        else:
            rounds.append((question, message["content"]))
            question = ""
    if rounds:
        told = "".join(f"[Round {n}]\n问：{asked}\n答：{said}\n" for n, (asked, said) in enumerate(rounds))
        question = f"{told}[Round {len(rounds)}]\n问：{question}\n答："
    return list(tokenizer(heading + question)["input_ids"])


def adapt(base: Any, dtype: "torch.dtype", quantised: bool) -> None:
    """Make a base of this kind take the dtype and the mask that every other base takes; others stay as they are.

    Its code makes each weight in fp16 whatever `torch_dtype` says, and reads `attention_mask` as (rows, 1, length,
    length), True where nothing is seen: the usual (rows, length), 1 on each token, would end in an error or be read
    the wrong way round. Raises ConfigError for bf16: its rotary angles are counted in the weights' dtype, where
    places beyond 256 are no longer told apart.
    """
    if not is_glm(base):
        return
    if str(dtype) == "torch.bfloat16":
        raise ConfigError(
            "The code of this base model (ChatGLM-6B's kind) computes its positions in the dtype of its weights, "
            "and bf16 cannot tell places beyond 256 apart.",
            "Use `model.dtype=fp16` on a GPU, `model.dtype=fp32` on a CPU.",
        )
    if not quantised:
        base.to(dtype)
    base.base_model.register_forward_pre_hook(_own_mask, with_kwargs=True)


def is_glm(base: Any) -> bool:
    """True for a model that counts mask and positions out of [gMASK] and <sop> in its input ids."""
    known = getattr(base.config, "gmask_token_id", None) is not None
    return known and hasattr(base, "get_masks") and hasattr(base, "get_position_ids")


def probe(ids: Sequence[int], base: Any) -> List[int]:
    """The same ids with [gMASK] <sop> in their middle where the base is of this kind and they hold none."""
    if not is_glm(base) or base.config.bos_token_id in ids:
        return list(ids)
    half = len(ids) // 2
    return [*ids[:half], base.config.gmask_token_id, base.config.bos_token_id, *ids[half:]]


def _own_mask(module: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
    mask = kwargs.get("attention_mask")
    if mask is not None and mask.dim() == 2:
        hidden = (mask == 0)[:, None, None, :]
        if kwargs.get("past_key_values") is None:  # else one token is asked for, and it sees all before it
            hidden = hidden | module.get_masks(kwargs["input_ids"], device=mask.device)
        kwargs["attention_mask"] = hidden
    return args, kwargs
