"""`envdoc chat`: talk to an adapter in the terminal, in the template that it was trained with.

    /base     answer without the adapter, and again with it: what has it learnt?
    /new      forget the conversation
    /exit     or Ctrl-D

Without a terminal each line of standard input is a question, and each answer goes to standard output.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from envdoc.train import compat, laid, templates
from envdoc.train.errors import DataError, first_line
from envdoc.train.laid import Named
from envdoc.train.libraries import load_libraries
from envdoc.train.progress import say

COMMANDS = ("/base", "/new", "/exit")


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen."""

    max_new_tokens: int
    temperature: float  # 0 takes the likeliest token each time
    top_p: float
    seed: int


@dataclass
class Conversation:
    """What was said so far, and who answers."""

    model: Any
    tokenizer: Any
    sampling: Sampling
    system: Optional[str]
    with_adapter: bool = True
    messages: List[Dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.messages = [{"role": "system", "content": self.system}] if self.system else []

    def ask(self, question: str, stream: Any) -> str:
        """The answer, written to `stream` as it comes. Raises DataError where the template refuses the question."""
        import torch

        self.messages.append({"role": "user", "content": question})
        try:
            ids = torch.tensor([templates.prompt_ids(self.tokenizer, self.messages)], device=self._device())
        except Exception as error:  # jinja2.TemplateError, and whatever a template's own code raises
            self.messages.pop()
            raise DataError(f"The chat template refuses that: {first_line(error)}") from None
        arguments: Dict[str, Any] = {"do_sample": self.sampling.temperature > 0}
        if arguments["do_sample"]:
            arguments.update(temperature=self.sampling.temperature, top_p=self.sampling.top_p)
        made = self._generate(ids, streamer=_streamer(self.tokenizer, stream), **arguments)
        answer = self.tokenizer.decode(made[0, ids.shape[1] :].tolist(), skip_special_tokens=True).strip()
        self.messages.append({"role": "assistant", "content": answer})
        return str(answer)

    def _generate(self, ids: Any, **arguments: Any) -> Any:
        import contextlib

        import torch

        pad = self.tokenizer.pad_token_id
        off = contextlib.nullcontext() if self.with_adapter else self.model.disable_adapter()
        with torch.no_grad(), off:
            return self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=self.sampling.max_new_tokens,
                eos_token_id=end_ids(self.tokenizer, self.model),
                pad_token_id=pad if pad is not None else self.tokenizer.eos_token_id,
                use_cache=True,
                **arguments,
            )

    def _device(self) -> Any:
        return next(self.model.parameters()).device


def chat(
    named: Path, base: Optional[str], quantization: Optional[str], system: Optional[str], how: Sampling
) -> int:
    """Talk until the input ends. Raises TrainError."""
    found = laid.find(named, base)
    load_libraries()
    conversation = begin(found, quantization, system, how)
    if sys.stdin.isatty():
        print(f"{found.adapter} on {found.base}. {', '.join(COMMANDS)}; Ctrl-D ends it.")
    for line in _lines():
        if line in ("/exit", "/quit"):
            break
        if line == "/new":
            conversation.forget()
            print("A new conversation.")
        elif line == "/base":
            conversation.with_adapter = not conversation.with_adapter
            print(
                "With the adapter." if conversation.with_adapter else "Without the adapter: the base alone."
            )
        elif line.startswith("/") and " " not in line:
            print(f"`{line}` is no command; there are {', '.join(COMMANDS)}.")
        elif line:
            try:
                conversation.ask(line, sys.stdout)
            except DataError as error:
                print(f"error: {error.message}", file=sys.stderr)
    return 0


def begin(found: Named, quantization: Optional[str], system: Optional[str], how: Sampling) -> Conversation:
    """Base and adapter loaded as they were trained, or in the form that is asked for. Raises TrainError."""
    from transformers import set_seed

    say(f"Loading {found.base} ...")
    base, _, _ = laid.load_as_it_was(found.base, found.model, quantization)
    adapted = laid.lay(found, base)
    set_seed(how.seed)
    return Conversation(adapted, laid.load_tokenizer(found), how, system)


def end_ids(tokenizer: Any, model: Any) -> List[int]:
    """The tokens that end an answer: the tokenizer's, the model's own, and the template's end of turn."""
    ends = {tokenizer.eos_token_id}
    told = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends.update(told if isinstance(told, list) else [told])
    end = template_end(tokenizer)
    ends.add(end)
    return sorted(token for token in ends if token is not None)


def template_end(tokenizer: Any) -> Optional[int]:
    """The special token that the template sets behind an answer: trained as its end, whatever `eos_token` says."""
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        text = compat.render_chat(tokenizer, said)
    except Exception:  # no template, or one that refuses so short a talk
        return None
    special = set(tokenizer.all_special_ids)
    ids = tokenizer(text[text.rfind("b") + 1 :], add_special_tokens=False)["input_ids"]
    return next((token for token in ids if token in special), None)


def _lines() -> Iterator[str]:
    """What is typed, line by line, to the end of the input."""
    while True:
        try:
            yield (input("> ") if sys.stdin.isatty() else input()).strip()
        except EOFError:
            if sys.stdin.isatty():
                print()
            return


def _streamer(tokenizer: Any, stream: Any) -> Any:
    """transformers' TextStreamer, writing to a stream of ours; it holds back what may still become another letter."""
    from transformers import TextStreamer

    class Stream(TextStreamer):  # type: ignore[misc]
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            stream.write(text + ("\n" if stream_end else ""))
            stream.flush()

    return Stream(tokenizer, skip_prompt=True, skip_special_tokens=True)
