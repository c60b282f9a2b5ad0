"""The run file: what is read, what is refused, and in which words."""

import pytest

from envdoc.train.config import Run, flat
from envdoc.train.errors import ConfigError
from envdoc.train.runfile import load


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Each test works in an empty folder: ./envdoc.yaml is looked for there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(*overrides, file=None):
    with pytest.raises(ConfigError) as caught:
        load(file, overrides)
    return caught.value.message, caught.value.hint


def test_without_anything_the_built_in_example_is_used():
    """No file and no ./envdoc.yaml: the embedded default, and the source says so."""
    run, source = load(None, [])

    assert ("tiny", "bundled", "runs/default") == (run.model.path, run.data.path, str(run.folder))
    assert "the built-in example (no run file was given, and there is no ./envdoc.yaml)" == source


def test_an_envdoc_yaml_here_is_used(empty_folder):
    """./envdoc.yaml comes before the built-in example, and is named."""
    (empty_folder / "envdoc.yaml").write_text("name: mine\nlora: {r: 4}\n")

    run, source = load(None, [])

    assert ("mine", 4, "`envdoc.yaml`") == (run.name, run.lora.r, source)


def test_model_and_data_need_no_file():
    """`model=PATH data=FILE` takes the defaults for real models, not the values of the tiny example."""
    run, source = load(None, ["model=/models/some-7b", "data=rows.jsonl"])

    expected = flat(Run())
    expected.update({"model.path": "/models/some-7b", "data.path": "rows.jsonl"})
    assert expected == flat(run)
    assert "runs/some-7b-rows" == str(run.folder)
    assert "with data.path, model.path replaced" in source


def test_overrides_replace_values_and_are_typed():
    """Numbers, truth values and lists come out of text as their types."""
    run, _ = load(
        None,
        [
            "train.learning_rate=3e-4",
            "overwrite=true",
            "lora.targets=q_proj, v_proj",
            "train.epochs=2",
            "output=/o",
        ],
    )

    assert 3e-4 == run.train.learning_rate
    assert run.overwrite is True
    assert ("q_proj", "v_proj") == run.lora.targets
    assert 2 == run.train.epochs
    assert "/o" == str(run.folder)


def test_yaml_takes_3e4_for_text_and_we_do_not(empty_folder):
    """`3e-4` without a point is text in YAML 1.1, and a number here."""
    (empty_folder / "run.yaml").write_text(
        "train:\n  learning_rate: 3e-4\nlora:\n  targets: [c_attn]\nmodel: tiny\n"
    )

    run, _ = load("run.yaml", [])

    assert (3e-4, ("c_attn",), "tiny") == (run.train.learning_rate, run.lora.targets, run.model.path)


def test_batch_and_checkpointing_have_short_forms(empty_folder):
    """`batch: auto` and `checkpointing: auto` at the top, as `model:` and `data:`; the plain values too."""
    (empty_folder / "run.yaml").write_text("model: tiny\nbatch: auto\ncheckpointing: off\n")
    (empty_folder / "old.yaml").write_text(
        "model: tiny\ntrain: {batch_size: 2, gradient_checkpointing: true}\n"
    )

    auto, old = load("run.yaml", [])[0].train, load("old.yaml", [])[0].train
    told = load("run.yaml", ["batch=8", "checkpointing=offload"])[0].train

    assert ("auto", False) == (auto.batch_size, auto.gradient_checkpointing)
    assert (2, True) == (old.batch_size, old.gradient_checkpointing)
    assert (8, "offload") == (told.batch_size, told.gradient_checkpointing)
    assert "auto" == Run().train.gradient_checkpointing


@pytest.mark.parametrize(
    "override, near",
    [
        ("lora.rank=8", "lora.r"),
        ("lora.alpa=8", "lora.alpha"),
        ("learning_rate=1", "train.learning_rate"),
        ("train.learning_rte=1", "train.learning_rate"),
        ("batchsize=1", "train.batch_size"),
        ("overwite=true", "overwrite"),
        ("trian=3", "train"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(override, near):
    """A key that does not exist is never passed over."""
    message, hint = refusal(override)

    assert f"the command line has the unknown key `{override.split('=')[0]}`." == message
    assert f"Did you mean `{near}`?" == hint


def test_a_section_is_no_key():
    """`train=3` is told which keys there are."""
    message, hint = refusal("lora=3")

    assert "the command line sets `lora`, which holds keys of its own." == message
    assert hint.startswith("They are: lora.r, lora.alpha, ") and "train" not in hint


@pytest.mark.parametrize(
    "override, message",
    [
        ("train.epochs=two", "`train.epochs` must be a whole number, and is `two`."),
        ("train.epochs=1.5", "`train.epochs` must be a whole number, and is `1.5`."),
        ("train.epochs=inf", "`train.epochs` must be a whole number, and is `inf`."),
        ("lora.dropout=1", "`lora.dropout` must be from 0 to below 1, and is 1.0."),
        ("train.learning_rate=nan", "`train.learning_rate` must be above 0 and below 10, and is nan."),
        ("train.batch_size=0", "`train.batch_size` must be auto, or at least 1, and is 0."),
        ("batch=all", "`train.batch_size` must be a whole number, or auto, and is `all`."),
        (
            "checkpointing=some",
            "`train.gradient_checkpointing` must be true or false, or auto or selective or offload, and is `some`.",
        ),
        ("overwrite=perhaps", "`overwrite` must be true or false, and is `perhaps`."),
        ("model.dtype=fp8", "`model.dtype` must be one of auto, bf16, fp16, fp32, and is `fp8`."),
        (
            "model.quantization=4-bit",
            "`model.quantization` must be one of none, 8bit, 4bit, auto, and is `4-bit`.",
        ),
        ("name=a/b", "`name` must be a plain folder name, and is `a/b`."),
        ("lora.targets=", "`lora.targets` must be `auto`, `all` or a list of module names, and is `[]`."),
        (
            "lora.init=pisa",
            "`lora.init` must be one of default, gaussian, orthogonal, pissa, pissa_niter_N (16 is usual), olora, "
            "and is pisa.",
        ),
        ("lora.plus_ratio=0.5", "`lora.plus_ratio` must be 0 (off), or from 1 to 1000, and is 0.5."),
        (
            "report.to=wandb,neptune",
            "`report.to` must be none, or some of tensorboard, wandb, mlflow, swanlab, and is ['wandb', 'neptune'].",
        ),
        ("data.eval_fraction=0.9", "`data.eval_fraction` must be from 0 to 0.5, and is 0.9."),
        ("epochs", "`epochs` is no `key=value`."),
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence(override, message):
    """The sentence names the key, what it must be, and what it is."""
    assert message == refusal(override)[0]


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "model: [tiny\n",
            "`run.yaml`, line 2 is not valid YAML: expected ',' or ']', but got '<stream end>'.",
        ),
        (
            "train:\n\tepochs: 1\n",
            "`run.yaml`, line 2 is not valid YAML: found character '\\t' that cannot start",
        ),
        ("- a\n", "`run.yaml` must hold keys and values, and holds a list."),
        ("name: a\nname: b\n", "`run.yaml`, line 2: the key `name` is there twice."),
        ("lora: 8\n", "In `run.yaml` the key `lora` must hold keys of its own, and is `8`."),
        ("lora: {rang: 8}\n", "run.yaml has the unknown key `lora.rang`."),
        ("train: {epochs: [1]}\n", "`train.epochs` must be a whole number, and is `[1]`."),
        ("train: {epochs: true}\n", "`train.epochs` must be a whole number, and is `True`."),
        (
            "a: !!python/object/apply:os.getcwd []\n",
            "`run.yaml`, line 1 is not valid YAML: could not determine",
        ),
    ],
)
def test_a_broken_run_file_is_refused_with_its_line(empty_folder, text, message):
    """Where YAML knows the line, the sentence has it; tags that would run code are errors."""
    (empty_folder / "run.yaml").write_text(text)

    assert refusal(file="run.yaml")[0].startswith(message)


def test_a_missing_run_file_is_refused():
    """A run file that is named must be there; the built-in example never takes its place."""
    assert "There is no run file `none.yaml`." == refusal(file="none.yaml")[0]


def test_every_example_is_a_run_file(empty_folder):
    """The examples of the repository load."""
    from pathlib import Path

    examples = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.yaml"))

    assert ["qlora-4bit", "quickstart", "seed-chatglm"] == [load(str(path), [])[0].name for path in examples]


def test_keys_that_do_not_go_together_are_refused(empty_folder):
    """One sentence that names both, and what to leave out; replacing a value of the file is no clash."""
    both = "`train.steps` and `train.epochs` both say how long to train, and `train.steps` would win."
    assert (both, "Leave one out, or set `train.steps=0`.") == refusal("train.steps=5", "train.epochs=2")
    assert (
        "`train.schedule` is constant" in refusal("train.schedule=constant", "train.warmup_fraction=0.1")[0]
    )
    assert "`model.revision` pins the code" in refusal("model=x", "model.revision=abc")[0]
    assert "`train.accumulation` is given" in refusal("batch=auto", "train.accumulation=8")[0]
    assert (
        "by which rows are packed, and `data.packing` is false"
        in refusal("batch=auto", "data.packing=false")[0]
    )
    assert "auto" == load(None, ["batch=auto", "data.packing=true"])[0].train.batch_size
    (empty_folder / "run.yaml").write_text("train: {epochs: 2}\n")
    assert (5, 2) == (lambda train: (train.steps, train.epochs))(load("run.yaml", ["train.steps=5"])[0].train)
    (empty_folder / "run.yaml").write_text("train: {epochs: 2, steps: 3}\n")
    assert both == refusal(file="run.yaml")[0]
    assert 2 == load("run.yaml", ["train.steps=0"])[0].train.epochs


def test_lists_of_texts_come_from_words_and_from_yaml(empty_folder):
    """Questions and trackers: a list in YAML; on the command line commas, brackets, or the name of a file."""
    (empty_folder / "run.yaml").write_text(
        "eval:\n  samples: ['One, two?', 'Three?']\nreport: {to: [mlflow]}\n"
    )

    written, _ = load("run.yaml", [])
    words, _ = load(None, ["eval.samples=[One?, Two?]", "report.to=tensorboard,wandb", "lora.targets=all"])
    file, _ = load(None, ["eval.samples=questions.txt", "report.to=none"])

    assert (("One, two?", "Three?"), ("mlflow",)) == (written.eval.samples, written.report.to)
    assert (("One?", "Two?"), ("tensorboard", "wandb")) == (words.eval.samples, words.report.to)
    assert "all" == words.lora.targets
    assert ("questions.txt", ()) == (file.eval.samples, file.report.to)


@pytest.mark.parametrize(
    "words, message",
    [
        (["lora.init=pissa", "model.quantization=4bit"], "`lora.init` is a PiSSA start"),
        (["lora.init=olora", "lora.dora=true"], "`lora.dora` is true, and `lora.init` takes part of"),
        (
            ["data.eval_path=a", "data.eval_fraction=0.1"],
            "`data.eval_path` and `data.eval_fraction` are both",
        ),
        (["parallel.strategy=fsdp", "lora.dora=true"], "`parallel.strategy` is fsdp, and DoRA"),
        (["parallel.strategy=fsdp", "eval.samples=a,b"], "`parallel.strategy` is fsdp, and `eval.samples`"),
        (["eval.patience=2"], "`eval.patience` is above 0, and no rows are held out to judge by."),
    ],
)
def test_each_clash_names_both_keys(words, message):
    """Both keys are named, and the hint says what to take instead."""
    with pytest.raises(ConfigError) as caught:
        load(None, words)

    assert caught.value.message.startswith(message)
    assert caught.value.hint
