"""The three issues that the recipe of 2023 is known for, judged by what their probes saw and not by versions.

LLaMA special tokens (tloen/alpaca-lora#279), stale or empty adapters (tloen/alpaca-lora#293), fan_in_fan_out
(huggingface/peft#324). What an old conversion left in a checkpoint's own files is no fault of the environment: the
tokenizer probe keeps it apart, and no rule here looks at it.
"""

from typing import Any, Dict, List, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.rules.machine import shorten
from envdoc.doctor.rules.probe_reading import case, ran, version
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import satisfies

BOS, EOS, UNK = 1, 2, 0  # in every LLaMA tokenizer.model


def _tokenizer(machine: Snapshot, name: str) -> Tuple[str, Dict[str, Any]]:
    """(transformers and its version, what the case saw). Raises Skip where the case itself failed: TOK004 tells."""
    result = ran(machine, "llama_tokenizer")
    seen = case(result, name)
    if "error" in seen:
        raise Skip(f"the tokenizer could not be made: {seen['error']}")
    return version(result, "transformers"), seen


@rule("TOK001")
def slow_special_tokens(machine: Snapshot) -> List[Problem]:
    """The slow LLaMA tokenizer puts a special token elsewhere than the checkpoint says."""
    name, seen = _tokenizer(machine, "slow")
    expected = {"bos": BOS, "eos": EOS, "unk": UNK}
    wrong = []
    if seen["ids"] != expected:
        wrong.append(f"the ids are {seen['ids']}, and {expected} in tokenizer.model")
    if seen["with_eos"][0] != BOS or seen["with_eos"][-1] != EOS:
        wrong.append(f"with add_bos_token and add_eos_token a text becomes {seen['with_eos']}")
    if seen["literal_eos"][-1] != EOS:
        wrong.append(f"a text that ends in </s> becomes {seen['literal_eos']}")
    return [Problem({"transformers": name, "wrong": "; ".join(wrong)}, tuple(wrong))] if wrong else []


@rule("TOK002")
def fast_ignores_add_eos(machine: Snapshot) -> List[Problem]:
    """The fast LLaMA tokenizer adds no </s> though it was told to (huggingface/transformers#22794)."""
    name, seen = _tokenizer(machine, "fast")
    if seen["with_eos"][-1] == EOS:
        return []
    evidence = f"add_eos_token=True: {seen['with_eos']}, where the last id should be {EOS}"
    return [Problem({"transformers": name}, (evidence,), ("labels", "stopping"))]


@rule("TOK003")
def fast_splits_literal_eos(machine: Snapshot) -> List[Problem]:
    """The fast LLaMA tokenizer takes a </s> that is written in the text to pieces."""
    name, seen = _tokenizer(machine, "fast")
    if seen["literal_eos"][-1] == EOS:
        return []
    evidence = f"a text that ends in </s>: {seen['literal_eos']}, where the last id should be {EOS}"
    return [Problem({"transformers": name}, (evidence,), ("prompt templates",))]


@rule("TOK004")
def tokenizer_not_converted(machine: Snapshot) -> List[Problem]:
    """No LLaMA tokenizer can be made from a tokenizer.model, for want of another library or of another release."""
    result = ran(machine, "llama_tokenizer")
    versions = result.data["versions"]
    seen = {form: case(result, form) for form in ("slow", "fast")}
    failed = {form: str(seen[form]["error"]) for form in seen if "error" in seen[form]}
    if not failed:
        return []
    # transformers' own sentencepiece_pb2 was generated for protobuf 3 until 4.31
    generated_for_3 = not satisfies(versions["transformers"] or "", ">=4.31")
    wanted = "protobuf==3.20.3" if generated_for_3 else "protobuf"
    python = shorten(machine.interpreter.path or "python", 200)
    names = {
        "transformers": version(result, "transformers"),
        "forms": " and ".join(failed),
        "protobuf": versions.get("protobuf") or "missing",
        "error": shorten("; ".join(failed.values()), 120),
    }
    return [
        Problem(
            names,
            tuple(f"{form}: {error}" for form, error in failed.items()),
            ("models that have a tokenizer.model and no tokenizer.json",),
            commands=(f"{python} -m pip install {wanted}",),
        )
    ]


@rule("TOK005")
def fast_reload_differs(machine: Snapshot) -> List[Problem]:
    """The fast LLaMA tokenizer, saved and loaded again, gives other ids."""
    name, seen = _tokenizer(machine, "fast_reload")
    if seen["before"] == seen["after"]:
        return []
    evidence = f"before saving {seen['before']}, after loading {seen['after']}"
    return [Problem({"transformers": name}, (evidence,), ("adapters that are used elsewhere",))]


def _adapter(machine: Snapshot, name: str) -> Tuple[str, Dict[str, Any]]:
    result = ran(machine, "adapter_save")
    return version(result, "peft"), case(result, name)


def _loss(seen: Dict[str, Any]) -> str:
    """What became of the adapter, as a clause; "" where it came back whole."""
    if "error" in seen:
        return f"saving or loading ended with {seen['error']}"
    if not seen["tensors"]:
        return "the adapter file has no tensor in it"
    if seen["reload_is_base"]:
        return f"the file has {seen['tensors']} tensors, but the model that is loaded from it answers as the base"
    if not seen["reload_is_trained"]:
        return "the model that is loaded from it answers otherwise than the trained one did"
    return ""


def _adapter_problem(machine: Snapshot, name: str) -> List[Problem]:
    peft, seen = _adapter(machine, name)
    loss = _loss(seen)
    return [Problem({"peft": peft, "loss": loss}, (loss,), ("saved adapters",))] if loss else []


@rule("PFT050")
def plain_save(machine: Snapshot) -> List[Problem]:
    """save_pretrained and from_pretrained lose what was trained."""
    return _adapter_problem(machine, "plain_save")


@rule("PFT051")
def state_dict_override(machine: Snapshot) -> List[Problem]:
    """alpaca-lora's `model.state_dict = ...` empties the adapter (tloen/alpaca-lora#293, huggingface/peft#286)."""
    return _adapter_problem(machine, "state_dict_override")


@rule("PFT052")
def modified_trainer(machine: Snapshot) -> List[Problem]:
    """ChatGLM-Tuning's `save_model`, which writes named_parameters, makes an adapter that is not loaded."""
    return _adapter_problem(machine, "modified_trainer")


@rule("PFT053")
def resume(machine: Snapshot) -> List[Problem]:
    """set_peft_model_state_dict does not bring a saved adapter back."""
    name, seen = _adapter(machine, "resume")
    if "error" in seen:
        loss = f"it ended with {seen['error']}"
    elif seen["resume_is_base"]:
        loss = "the model answers as its base"
    else:
        loss = "" if seen["resume_is_trained"] else "the model answers otherwise than from_pretrained's"
    return [Problem({"peft": name, "loss": loss}, (loss,), ("resumed runs",))] if loss else []


@rule("PFT054")
def part_of_layer_frozen(machine: Snapshot) -> List[Problem]:
    """LoRA on one target leaves a part of the layer's output untrained, or cannot be made (huggingface/peft#324)."""
    result = ran(machine, "fan_in_fan_out")
    evidence = []
    for name in ("fused_linear", "single_linear", "single_linear_width_64"):
        seen = case(result, name)
        if "error" in seen:
            evidence.append(f"{name}: {seen['error']}")
        elif not all(seen["thirds_moved"]):
            moved = ["trains" if third else "is frozen" for third in seen["thirds_moved"]]
            evidence.append(f"{name}: by thirds the output of {seen['layer']} {', '.join(moved)}")
    names = {"peft": version(result, "peft")}
    return [Problem(names, tuple(evidence), ("target_modules with one name",))] if evidence else []


@rule("PFT055")
def conv1d_reload(machine: Snapshot) -> List[Problem]:
    """An adapter on GPT-2's Conv1D does not come back from its file (huggingface/peft#324)."""
    result = ran(machine, "fan_in_fan_out")
    seen = case(result, "conv1d_reload")
    if "error" in seen:
        loss = seen["error"]
    elif not seen["starts_as_base"]:
        loss = "a new adapter, whose lora_B is zero, changes the model's answers"
    else:
        loss = "" if seen["reload_is_trained"] else "the loaded model answers otherwise than the trained one"
    return [Problem({"peft": version(result, "peft"), "loss": loss}, (loss,), ("GPT-2",))] if loss else []


@rule("PFT056")
def conv1d_merge(machine: Snapshot) -> List[Problem]:
    """An adapter on GPT-2's Conv1D cannot be merged, or merges into something else."""
    result = ran(machine, "fan_in_fan_out")
    seen = case(result, "conv1d_merge")
    loss = seen.get("error") or ("" if seen["merge_is_trained"] else "the merged model answers otherwise")
    return [Problem({"peft": version(result, "peft"), "loss": loss}, (loss,), ("GPT-2",))] if loss else []
