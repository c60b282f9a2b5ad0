"""Answers to a few questions while training, greedily, through the chat template that is trained with."""

from pathlib import Path
from typing import Any, Iterator, Sequence, Tuple

from envdoc.train.config import Eval
from envdoc.train.errors import ConfigError, first_line
from envdoc.train.progress import say
from envdoc.train.ready import Ready
from envdoc.train.templates import prompt_ids


def questions(settings: Eval) -> Tuple[str, ...]:
    """The questions of the run, a file's lines where `eval.samples` names one. Raises ConfigError."""
    if not isinstance(settings.samples, str):
        return settings.samples
    path = Path(settings.samples).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(
            f"`eval.samples` names the file `{path}`, which cannot be read: {reason}.",
            "It holds one question a line; a list of questions goes into the run file itself: "
            "`eval: {samples: [...]}`.",
        ) from None
    return tuple(line.strip() for line in lines if line.strip())


def answers(ready: Ready, trainer: Any, asked: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """Each question with the model's answer; a model that cannot generate is told once, and never ends the run."""
    for question in asked:
        try:
            yield question, answer(ready, trainer, question)
        except Exception as error:  # remote code that generates in its own way, a template that refuses...
            say(f"note: no sample could be generated: {first_line(error)}")
            return


def answer(ready: Ready, trainer: Any, question: str) -> str:
    """The likeliest token at each place, up to the end token or `eval.sample_tokens`."""
    import torch

    tokenizer, model = ready.tokenizer, trainer.model
    asked = prompt_ids(tokenizer, [{"role": "user", "content": question}])
    ids = torch.tensor([asked], device=trainer.args.device)
    with trainer.compute_loss_context_manager():
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=ready.settings.eval.sample_tokens,
            do_sample=False,
            pad_token_id=ready.pad_id,
            eos_token_id=sorted({*ready.corpus.ends, tokenizer.eos_token_id}),
            use_cache=True,
        )
    return str(tokenizer.decode(made[0, ids.shape[1] :].tolist(), skip_special_tokens=True)).strip()
