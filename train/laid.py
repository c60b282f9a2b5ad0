"""A saved adapter laid on its base again, for what comes after training: merge, export, chat."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from envdoc.train.config import Model
from envdoc.train.errors import AdapterError, ConfigError, ModelError, first_line
from envdoc.train.progress import say
from envdoc.train.told import CONFIG_FILE, Told, find_adapter, read_told


@dataclass(frozen=True)
class Named:
    """An adapter and its base, found and not yet loaded."""

    adapter: Path
    described: Mapping[str, Any]  # adapter_config.json
    told: Optional[Told]  # what lies beside the adapter
    base: Path
    model: Model  # how the base was loaded in training

    @property
    def targets(self) -> Tuple[str, ...]:
        """The modules that it adapts, as adapter_config.json names them."""
        named = self.described.get("target_modules") or ()
        return (named,) if isinstance(named, str) else tuple(named)


def find(named: Path, base: Optional[str]) -> Named:
    """The adapter that a folder means (its own, a run's, a checkpoint's) and its base. Raises AdapterError."""
    folder = find_adapter(named)
    described = describe(folder)
    told = read_told(folder)
    base_folder, model = base_of(folder, described, told, base)
    return Named(folder, described, told, base_folder, model)


def describe(folder: Path) -> Dict[str, Any]:
    """The adapter's description. Raises AdapterError where there is none."""
    path = folder / CONFIG_FILE
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AdapterError(
            f"`{folder}` holds no adapter: there is no {CONFIG_FILE} in it.",
            "`envdoc train` prints where it saves one; usually runs/NAME/adapter.",
        ) from None
    except (OSError, ValueError) as error:
        raise AdapterError(f"`{path}` cannot be read: {error}.") from None
    if not isinstance(described, dict):
        raise AdapterError(f"`{path}` holds no description of an adapter.")
    return described


def base_of(
    folder: Path, described: Mapping[str, Any], told: Optional[Told], given: Optional[str]
) -> Tuple[Path, Model]:
    """The base's folder, and how it was loaded in training. Raises AdapterError where it is not to be had."""
    from envdoc.train.model import check_folder

    named = given or described.get("base_model_name_or_path")
    if not named:
        raise AdapterError(
            f"`{folder}/{CONFIG_FILE}` names no base model.", "Name its folder with `--base FOLDER`."
        )
    run = told.run if told else {}
    model = Model(
        path=str(named),
        dtype=(told.dtype if told else None) or "auto",  # type: ignore[arg-type]
        quantization=told.quantization if told else "none",  # type: ignore[arg-type]
        trust_remote_code=bool(run.get("model.trust_remote_code", False)),
        revision=run.get("model.revision"),
        preparation=run.get("model.preparation", "full"),  # receipts of before lack it
    )
    try:
        return check_folder(model), model
    except ModelError as error:
        moved = None if Path(str(named)).is_dir() else "If it has moved, name it with `--base FOLDER`."
        raise AdapterError(
            f"The base model of `{folder}` cannot be used: {error.message}", moved or error.hint
        ) from None


def load_as_it_was(base: Path, model: Model, quantization: Optional[str] = None) -> Tuple[Any, Model, Any]:
    """The base as it was trained on, prepared as in training; what it was loaded as; and its Precision.

    Where this machine cannot compute so, another dtype, or no quantisation, with a note. `quantization` is one that
    somebody asks for in place of that of training: then it is that or nothing. Raises TrainError.
    """
    from envdoc.train import adapters
    from envdoc.train import model as models

    if quantization is not None:
        model = replace(model, quantization=quantization)  # type: ignore[arg-type]
    try:
        precision = models.choose_precision(model)
    except ConfigError as error:
        model = replace(model, dtype="auto")
        precision = models.choose_precision(model)
        say(f"note: {error.message} The base model is loaded in {precision.dtype} instead.")
    if model.quantization != "none":
        try:
            models.check_quantisation(model.quantization, precision)
        except ModelError as error:
            if quantization is not None:
                raise
            say(f"note: {error.message} The base model is loaded unquantised instead.")
            model = replace(model, quantization="none")
    loaded = models.load_base(base, model, precision)
    # Norms and head in fp32 answer a little otherwise.
    return adapters.prepare(loaded, model, checkpointing=False), model, precision


def lay(named: Named, base: Any) -> Any:
    """The base with the adapter on it, as peft loads it. Raises AdapterError where it does not fit."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(base, str(named.adapter)).eval()
    except Exception as error:  # missing files, keys of a newer peft, shapes and targets that are not there
        raise AdapterError(
            f"The adapter in `{named.adapter}` cannot be laid on `{named.base}`: {first_line(error)}",
            f"`envdoc verify {named.adapter}` says more.",
        ) from None


def load_tokenizer(named: Named) -> Any:
    """The tokenizer saved with the adapter, which has the template that was trained with; else the base's."""
    from envdoc.train import glm, templates
    from envdoc.train import model as models

    saved = (named.adapter / "tokenizer_config.json").is_file()
    tokenizer = models.load_tokenizer(named.adapter if saved else named.base, named.model)
    if not getattr(tokenizer, "chat_template", None) and not glm.speaks(tokenizer):
        # An adapter of an earlier envdoc, or of another trainer.
        tokenizer.chat_template = templates.settle(tokenizer, "auto").text
    return tokenizer


def unquantised(named: Named, dtype: str) -> Model:
    """How the base is loaded in 16 or 32 bits, whatever it was trained in. Raises AdapterError where it cannot be."""
    config = json.loads((named.base / "config.json").read_text(encoding="utf-8"))
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "quantised")
        raise AdapterError(
            f"The weights in `{named.base}` are stored quantised ({method}), and merging needs the original ones.",
            "Name the folder of the unquantised model with `--base FOLDER`.",
        )
    return replace(named.model, quantization="none", dtype=dtype)  # type: ignore[arg-type]
