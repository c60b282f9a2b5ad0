"""Kinds of adapter, optimizers, schedules and judging: each trains, resumes bit by bit, and leaves a real adapter."""

import json
import shutil

import overlaid
import pytest
from train_children import losses, receipt

COMMON = ["train.steps=4", "train.save_every=2", "train.keep=9", "train.learning_rate=0.001", "lora.r=64"]

# Of each recipe the keys, together so that every one is met; r=64 makes matrices of 8192 numbers, from 4096 on
# bitsandbytes' states really are 8 bits wide.
RECIPES = {
    "dora": ["lora.dora=true", "train.optimizer=adamw_8bit", "train.schedule=cosine_with_restarts"],
    "rslora-plus": [
        "lora.rslora=true",
        "lora.plus_ratio=16",
        "train.optimizer=paged_adamw_8bit",
        "train.schedule=cosine_with_min_lr",
        "model.dtype=bf16",
    ],
    "pissa": [
        "lora.init=pissa_niter_4",
        "lora.rslora=true",
        "lora.dropout=0.1",
        "train.optimizer=lion_8bit",
        "train.schedule=polynomial",
    ],
    "olora-4bit": [
        "lora.init=olora",
        "model.quantization=4bit",
        "train.optimizer=adafactor",
        "train.schedule=inverse_sqrt",
    ],
    "neftune": [
        "train.neftune_alpha=5",
        "train.optimizer=adamw_fused",
        "train.schedule=warmup_stable_decay",
        "data.eval_fraction=0.1",
        "eval.every=2",
        "eval.samples=[Hello]",
        "eval.sample_tokens=4",
    ],
    "lean-8bit": [
        "model.quantization=8bit",
        "model.preparation=lean",
        "train.gradient_checkpointing=true",
        "train.optimizer=paged_lion_8bit",
        "train.schedule=constant_with_warmup",
    ],
}

# The same rows judged and not, and judged by rows that training makes worse.
JUDGED = ["data.eval_path=held.jsonl", "eval.every=2", "eval.samples=[What is 2?]", "eval.sample_tokens=4"]
STOPPED = ["data.eval_path=held.jsonl", "eval.every=1", "eval.patience=2", "train.keep=1"]
NOISE = [
    "data.eval_path=held.jsonl",
    "eval.every=1",
    "train.steps=2",
]  # the first step warms up: its rate is 0
ROWS = ["data=rows.jsonl", "train.batch_size=8", "train.save_every=40", "lora.dropout=0.1"]


def run_of(name, *words, resume=False):
    mode = ["--resume"] if resume else []
    return ["train", *mode, f"name={name}", *words]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, launch_many):
    """A folder with a whole run of each recipe, copies of them cut back to the middle and resumed, and judged runs."""
    folder = tmp_path_factory.mktemp("recipes")
    write_rows(folder)
    stopped = [*ROWS, *STOPPED, "train.steps=12", "train.learning_rate=0.05"]
    started = launch_many(
        folder,
        *[run_of(name, *COMMON, *words) for name, words in RECIPES.items()],
        run_of("judged", *ROWS, *JUDGED, "train.steps=4"),
        run_of("alone", *ROWS, "train.steps=4"),
        run_of("stopped", *stopped),
        run_of("noisy", *ROWS, *NOISE, "train.neftune_alpha=5"),
        run_of("quiet", *ROWS, *NOISE),
        run_of("refused", "report.to=wandb"),
        run_of("refused", "lora.dora=true", "model.quantization=8bit"),
        run_of("refused", "eval.samples=none.txt"),
        run_of("refused", "model.tf32=on"),
    )
    *runs, wandb, dora, samples, tf32 = started
    assert [0] * len(runs) == [run["code"] for run in runs], [run for run in runs if run["code"]]
    for name in (*RECIPES, "stopped"):
        shutil.copytree(folder / "runs" / name, folder / "runs" / f"{name}-again")
        shutil.rmtree(folder / "runs" / f"{name}-again" / "adapter")
    for name in RECIPES:
        shutil.rmtree(folder / "runs" / f"{name}-again" / "checkpoint-4")
    *resumed, over = launch_many(
        folder,
        *[run_of(f"{name}-again", *COMMON, *words, resume=True) for name, words in RECIPES.items()],
        *[["verify", f"runs/{name}/adapter", "--format", "json"] for name in RECIPES],
        run_of("stopped-again", *stopped, resume=True),
    )
    return {
        "folder": folder,
        "runs": dict(zip([*RECIPES, "judged", "alone", "stopped", "noisy", "quiet"], runs)),
        "resumed": dict(zip(RECIPES, resumed)),
        "verified": dict(zip(RECIPES, resumed[len(RECIPES) :])),
        "over": over,
        "refused": {"wandb": wandb, "dora": dora, "samples": samples, "tf32": tf32},
    }


def write_rows(folder):
    rows = [{"instruction": f"What is {n}?", "output": f"It is {n}, {n}, {n}."} for n in range(24)]
    held = [rows[3], *({"instruction": f"Say {n}.", "output": "No. " * 4} for n in range(5))]
    for name, content in (("rows", rows), ("held", held)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_resumes_bit_by_bit(trained, name):
    """From the checkpoint in the middle: the same losses and the same adapter as the run that was never cut."""
    runs = trained["folder"] / "runs"

    assert 0 == trained["resumed"][name]["code"], trained["resumed"][name]
    assert losses(runs / name) == losses(runs / f"{name}-again")
    hashes = [receipt(runs / run)["adapter"]["sha256"] for run in (name, f"{name}-again")]
    assert hashes[0] == hashes[1]
    assert "checkpoint-2" == receipt(runs / f"{name}-again")["training"]["resumed_from"]


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_leaves_a_real_adapter(trained, name):
    """Loaded on the base as it lies on the disk, in another process: every check of `verify` holds."""
    document = json.loads(trained["verified"][name]["out"])

    assert (0, True) == (trained["verified"][name]["code"], document["real"])
    assert [] == [check for check in document["checks"] if check["ok"] is not True]


@pytest.mark.slow
def test_a_start_from_the_base_is_saved_as_a_plain_lora(trained):
    """PiSSA and OLoRA, in checkpoints too: twice the rank, the same scale, a plain start, and no trace of the start."""
    for name, scale in (("pissa", 16 / 64**0.5), ("olora-4bit", 16 / 64)):
        for folder in ("adapter", "checkpoint-2"):
            config = json.loads(
                (trained["folder"] / "runs" / name / folder / "adapter_config.json").read_text()
            )
            root = config["r"] ** 0.5 if config["use_rslora"] else config["r"]

            assert (128, True) == (config["r"], config["init_lora_weights"])
            assert pytest.approx(scale) == config["lora_alpha"] / root
            assert "start" not in (config.get("auto_mapping") or {})


@pytest.mark.slow
def test_schedules_are_those_that_were_asked_for(trained):
    """The learning rate of each update, as far as every version of transformers agrees on it."""
    expected = {
        "dora": [0.0, 0.001, 0.001, 0.001],  # three cycles of a third of a run each: every step begins one
        "rslora-plus": [0.0, 0.001, 0.000775, 0.000325],
        "pissa": [0.0, 0.001, 0.0007, 0.0004],
        "lean-8bit": [0.0, 0.001, 0.001, 0.001],
    }

    found = {name: rates(trained["folder"] / "runs" / name) for name in expected}

    assert {name: pytest.approx(values) for name, values in expected.items()} == found


def rates(run):
    return [json.loads(line)["learning_rate"] for line in (run / "steps.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_judging_leaves_the_training_alone(trained):
    """With dropout on: losses and adapter of a run with evaluations and samples equal those of one without."""
    runs = trained["folder"] / "runs"

    assert losses(runs / "alone") == losses(runs / "judged")
    hashes = [receipt(runs / name)["adapter"]["sha256"] for name in ("alone", "judged")]
    assert hashes[0] == hashes[1]
    told = receipt(runs / "judged")
    assert [2, 4] == [step for step, _ in told["training"]["held_out_losses"]]
    assert (6, 1) == (told["held_out"]["rows"], told["held_out"]["repeated_rows"])
    assert "1 of them are training rows too, word for word" in trained["runs"]["judged"]["out"]
    assert "step 4  held-out loss " in trained["runs"]["judged"]["err"]
    kinds = [json.loads(line) for line in (runs / "judged" / "events.jsonl").read_text().splitlines()]
    samples = [(event["step"], event["prompt"]) for event in kinds if event["kind"] == "sample"]
    assert [(2, "What is 2?"), (4, "What is 2?")] == samples
    assert 2 == len([event for event in kinds if event["kind"] == "eval"])


@pytest.mark.slow
def test_noise_on_the_embeddings_trains_and_is_not_judged(trained):
    """NEFTune moves the first loss, and not the one on held-out rows just after it, before any weight has moved."""
    made = [receipt(trained["folder"] / "runs" / name)["training"] for name in ("noisy", "quiet")]

    assert made[0]["losses"][0] != made[1]["losses"][0]
    assert made[0]["held_out_losses"][0] == made[1]["held_out_losses"][0]


@pytest.mark.slow
def test_a_part_of_the_rows_is_held_out(trained):
    """A tenth of the 118 rows is judged by and not trained on."""
    told = receipt(trained["folder"] / "runs" / "neftune")

    assert (106, 12, 0) == (told["data"]["rows"], told["held_out"]["rows"], told["held_out"]["repeated_rows"])
    assert (
        "Judging   12 rows held out (10% of the rows, chosen by the seed), every 2 updates"
        in (trained["runs"]["neftune"]["out"])
    )


@pytest.mark.slow
def test_early_stopping_keeps_the_best(trained):
    """No better loss twice running ends the run; its adapter is the best checkpoint's, and so it is when resumed."""
    run = trained["folder"] / "runs" / "stopped"
    told = receipt(run)["training"]
    judged = dict(map(tuple, told["held_out_losses"]))
    best = min(judged, key=judged.get)

    assert best + 2 == told["steps"] < 12
    assert best == told["adapter_step"]
    assert {f"checkpoint-{best}", f"checkpoint-{best + 2}"} == {p.name for p in run.glob("checkpoint-*")}
    files = [run / folder / "adapter_model.safetensors" for folder in ("adapter", f"checkpoint-{best}")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert (
        f"The run ended after step {best + 2} of 12; the adapter is that of step {best}"
        in (trained["runs"]["stopped"]["out"])
    )
    assert 0 == trained["over"]["code"], trained["over"]
    again = receipt(trained["folder"] / "runs" / "stopped-again")
    assert (told["steps"], best) == (again["training"]["steps"], again["training"]["adapter_step"])
    assert receipt(run)["adapter"]["sha256"] == again["adapter"]["sha256"]


@pytest.mark.slow
def test_what_cannot_be_done_here_is_refused(trained):
    """A tracker's package, a file of samples, DoRA on an 8-bit base or TF32 on a CPU: a sentence, a hint, exit 2."""
    expected = {
        "wandb": "`report.to` names wandb, and this environment has no package `wandb`.",
        "dora": "`lora.dora` is true, `model.quantization` is 8bit, and the run computes on a CPU",
        "samples": "`eval.samples` names the file `none.txt`, which cannot be read: No such file or directory.",
        "tf32": "`model.tf32` is on, and the run computes on a CPU",
    }

    for name, message in expected.items():
        result = trained["refused"][name]
        assert (2, True) == (result["code"], message in result["err"]), result
        assert "hint: " in result["err"] and "Traceback" not in result["err"]
    assert "-m pip install wandb`" in trained["refused"]["wandb"]["err"]


READ = """
sys.path.insert(0, sys.argv[1])
from envdoc.train.pipeline import run
words = ["name=told", "report.to=tensorboard", "train.steps=4", "train.log_every=2", "data.eval_fraction=0.1",
         "eval.every=4"]
code = run(None, words, None, False, False)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator("runs/told/tensorboard")
events.Reload()
told = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in ("train/loss", "eval/loss")}
print(json.dumps([code, told]))
"""


@pytest.mark.slow
def test_tensorboard_gets_the_losses(patient, forked, tmp_path):
    """`report.to=tensorboard`: its event files, read back, hold the losses of the receipt."""
    folder = overlaid.install(patient, "tensorboard")

    done = forked.finish([folder], tmp_path, text=READ)

    assert 0 == done.returncode, done.stderr
    code, told = json.loads(done.stdout.splitlines()[-1])
    made = receipt(tmp_path / "runs/told")["training"]
    assert 0 == code
    steps = [pair for pair in made["losses"] if pair[0] in (1, 2, 4)]
    assert [[step, pytest.approx(loss)] for step, loss in steps] == told["train/loss"]
    assert [[4, pytest.approx(made["held_out_losses"][0][1])]] == told["eval/loss"]
    assert ["runs"] == [path.name for path in tmp_path.iterdir()]  # and nowhere else
