"""`envdoc estimate` as its users meet it: in a training environment, without one, for GPUs by name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from envdoc.doctor.tables.gpu_asked import asked_gpu, nearest
from envdoc.train import simple_yaml
from envdoc.train.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
RUN = "model: model\ndata: rows.jsonl\nlora: {r: 16}\nbatch: auto\ncheckpointing: auto\ntrain:\n  epochs: 2  # passes\n"


@pytest.fixture
def place(tmp_path):
    """A folder with a run file, 400 rows, and a model's config.json without anything beside it."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "run.yaml").write_text(RUN)
    rows = [{"instruction": "Say it.", "output": "word " * (10 + 7 * (place % 40))} for place in range(400)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def envdoc(place, *words):
    """The command line itself, in an environment that has the doctor and no training libraries."""
    command = [str(Path(sys.executable).parent / "envdoc"), "estimate", *words]
    home = {"HOME": str(place), "ENVDOC_HOME": str(place / "home"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=place, env=home, capture_output=True, text=True, timeout=60)


def test_a_run_is_estimated_from_a_config_alone_and_without_torch(place):
    """Memory with its terms, the plan with its reasons, speed, hours and price; the JSON says the same."""
    told = envdoc(place, "run.yaml", "--gpu", "4090", "--price-per-hour", "0.5")
    document = json.loads(
        envdoc(place, "run.yaml", "--gpu", "4090", "--price-per-hour", "0.5", "--json").stdout
    )

    assert 0 == told.returncode, told.stderr
    for word in ("8.03 billion parameters", "400 rows, about", "RTX 4090: 24.0 GiB", "base, linear layers",
                 "assumed: the share of its peak that an H200 reached", "Price     about"):  # fmt: skip
        assert word in told.stdout
    memory = document["memory"]
    assert memory["peak_bytes"] == sum(term["bytes"] for term in memory["terms"])
    assert memory["fits"] is True and 8_030_261_248 == document["model"]["parameters"]
    assert document["data"]["counted"] is False and "UTF-8 bytes / 4" in document["data"]["note"]
    assert document["seconds"] == pytest.approx(
        document["run"]["tokens"] / document["speed"]["tokens_per_second"]
    )
    assert document["price"] == pytest.approx(document["seconds"] / 3600 * 0.5)
    assert document["run"]["gradient_checkpointing"] in (True, False) and document["plan"]


def test_small_passes_are_replayed_where_that_is_known_to_work(place):
    """Passes of a row or two of an 8B: on an H200 the host is left out of the speed, on another GPU it is not."""
    words = ["run.yaml", "batch=1", "checkpointing=false", "--json", "--gpu"]
    hopper, off, other = (
        json.loads(envdoc(place, *words, *more).stdout)
        for more in (["h200"], ["h200", "train.cuda_graphs=false"], ["a100-80gb"])
    )

    assert [True, False, False] == [one["run"]["cuda_graphs"] for one in (hopper, off, other)]
    assert "Passes are replayed as CUDA graphs: one of " in hopper["plan"][-1]
    sizes = [one["run"]["largest_pass_tokens"] for one in (hopper, off)]
    assert -(-sizes[1] // 512) * 512 == sizes[0] and sizes[0] != sizes[1]  # such lines are filled up
    assert hopper["speed"]["tokens_per_second"] > 2 * off["speed"]["tokens_per_second"]


def test_a_gpu_that_is_too_small_is_exit_code_1_with_what_would_fit(place):
    """16 GiB hold no 8 billion weights in 16 bits: the words that make it fit are told, and they do."""
    small = envdoc(place, "run.yaml", "--gpu", "rtx 4080", "--json")
    instead = json.loads(small.stdout)["memory"]["instead"]
    again = envdoc(place, "run.yaml", "--gpu", "4080", "--json", *instead.split())

    assert 1 == small.returncode and "model.quantization=4bit" in instead
    assert 0 == again.returncode, again.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run.yaml", "--gpu", "4091"], "No GPU called `4091`"),
        (["run.yaml", "--price-per-hour", "-1"], "which is no price"),
        (["run.yaml", "model=elsewhere"], "There is no `elsewhere`"),
        (["run.yaml", "lora.targets=c_attn"], "no linear layer of a llama is called that"),
        (["none.yaml"], "There is no run file `none.yaml`"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(place, words, said):
    """Exit code 2, one sentence, no traceback."""
    told = envdoc(place, *words)

    assert 2 == told.returncode
    assert said in told.stderr and "Traceback" not in told.stderr


def test_an_unknown_gpu_is_told_with_the_nearest():
    """`4091` is near the RTX 4090."""
    assert "RTX 4090" in nearest("4091")


@pytest.mark.parametrize(
    ("said", "name", "gib"),
    [
        ("4090", "RTX 4090", 24),
        ("rtx4090", "RTX 4090", 24),
        ("NVIDIA GeForce RTX 4090", "RTX 4090", 24),
        ("4070 ti super", "RTX 4070 Ti SUPER", 16),
        ("a100-80gb", "A100", 80),
        ("A100 40GB", "A100", 40),
        ("V100-32GB", "V100", 32),
        ("H100 NVL", "H100 NVL", 94),
        ("h200", "H200", 141),
        ("t4", "T4", 15),
        ("2080 ti", "RTX 2080 Ti", 11),
        ("a6000", "RTX A6000", 45),
        ("l40s", "L40S", 45),
        ("gh200", "GH200", 96),
    ],
)
def test_gpus_are_known_by_what_people_call_them(said, name, gib):
    """With and without maker, series and spaces; a memory that is said counts."""
    found = asked_gpu(said)

    assert (name, gib) == (found.name, found.memory_gb)


def test_in_a_training_environment_tokens_are_counted_and_nothing_is_tried_without_a_gpu(
    launch, finished, place
):
    """The tokenizer that lies beside the config counts; on a CPU the open keys become what they ever were."""
    gpu = {"name": "NVIDIA L4", "memory_bytes": 24 * 2**30, "flops_per_second": 121e12, "here": True}
    (place / "gpu.json").write_text(json.dumps(gpu))
    words = [
        f"model={finished / 'runs' / 'default' / 'base'}",
        "data=rows.jsonl",
        "--format",
        "json",
        "batch=auto",
    ]
    counted, named = (
        json.loads(launch("estimate", *words, *more, cwd=place).stdout)
        for more in ([], ["--gpu", "gpu.json"])
    )

    assert counted["data"]["counted"] is True and "by the tokenizer of base" in counted["data"]["note"]
    assert (4, True, None) == (
        counted["run"]["batch_size"],
        counted["run"]["gradient_checkpointing"],
        counted["memory"]["fits"],
    )
    assert "torch sees no GPU." == named["probe"]["failed"]
    assert named["memory"]["fits"] is True and named["run"]["packing"] is True


def test_without_pyyaml_the_plain_run_files_are_read_as_with_it(tmp_path):
    """Every example, comments and all; what is more than that is refused with its line."""
    yaml = pytest.importorskip("yaml")
    files = [*(ROOT / "examples").glob("*.yaml"), ROOT / "train" / "assets" / "default.yaml"]

    for file in files:
        assert yaml.safe_load(file.read_text()) == simple_yaml.read(file, file.read_text())
    for wrong in ("a:\n  b:\n    c: 1\n", "a: |\n  text\n", "- a\n", "a: {b: {c: 1}}\n", "a: b: c\n"):
        with pytest.raises(ConfigError):
            simple_yaml.read(tmp_path / "run.yaml", wrong)
    with pytest.raises(ConfigError) as told:
        simple_yaml.read(tmp_path / "run.yaml", "a: 1\na: 2\n")
    assert "line 2: the key `a` is there twice" in told.value.message
