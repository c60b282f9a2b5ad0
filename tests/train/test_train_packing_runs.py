"""Whole runs with packed and with grouped rows: proved, resumed exactly, and told in the plan."""

import shutil

import pytest
from train_children import losses, receipt

RUN = [
    "train",
    "train.steps=9",
    "train.save_every=4",
    "train.keep=9",
    "train.batch_size=2",
    "train.accumulation=2",
]
RUN += ["lora.dropout=0.1", "data.max_length=256"]
KINDS = {"packed": ["data.packing=true"], "grouped": ["data.group_by_length=true"], "auto": []}


@pytest.fixture(scope="module")
def runs(launch_many, tmp_path_factory):
    """Three runs over more than an epoch, each again from its checkpoint 4, and one that is refused."""
    folder = tmp_path_factory.mktemp("runs")
    told = launch_many(folder, *[[*RUN, f"output={kind}", *words] for kind, words in KINDS.items()])
    for kind in KINDS:
        shutil.copytree(folder / kind, folder / f"{kind}-again")
        shutil.rmtree(folder / f"{kind}-again" / "adapter")
        for later in ("checkpoint-8", "checkpoint-9"):
            shutil.rmtree(folder / f"{kind}-again" / later)
    again = [[*RUN, f"output={kind}-again", "--resume", *words] for kind, words in KINDS.items()]
    both = [*RUN, "output=both", *KINDS["packed"], *KINDS["grouped"]]
    return folder, told, launch_many(folder, *again, both)


@pytest.mark.slow
def test_packed_and_grouped_runs_are_proved_and_resume_exactly(runs):
    """Over the end of an epoch, with dropout: the same losses to the last bit and the same adapter."""
    folder, told, again = runs

    assert [0] * 6 == [done["code"] for done in (*told, *again[:3])], (told, again)
    for kind in KINDS:
        assert losses(folder / kind) == losses(folder / f"{kind}-again")
        shas = [receipt(folder / name)["adapter"]["sha256"] for name in (kind, f"{kind}-again")]
        assert shas[0] == shas[1]
    assert losses(folder / "packed") != losses(folder / "grouped")


@pytest.mark.slow
def test_the_plan_tells_of_packs_and_of_the_store(runs):
    """How many packs, how full, how the model keeps them apart; and that the second run read what the first encoded."""
    _, told, again = runs

    packed, grouped, auto = (done["out"].splitlines() for done in told)
    (line,) = [line for line in packed if "Packed into" in line]
    assert "packs of 256 tokens" in line and "(form `positions`, tried on this model)." in line
    assert any(line.startswith("Training  9 steps of 2 x 2 packs (") for line in packed)
    assert any("          Encoded by an earlier run with the same data" in line for line in grouped)
    assert any(line.startswith("Preview   the first two rows") for line in grouped)
    (line,) = [line for line in auto if "Laid without padding" in line]
    assert "at most 512 tokens a pass" in line and "(form `positions`, tried on this model)." in line
    refused = again[3]
    assert 2 == refused["code"]
    assert "error: `data.packing` and `data.group_by_length` are both on, and packs" in refused["err"]


@pytest.mark.slow
def test_the_tokenizer_and_its_template_lie_beside_the_adapter(runs):
    """What chats with the adapter finds the template that it was trained with."""
    adapter = runs[0] / "packed" / "adapter"

    assert "<|assistant|>" in (adapter / "chat_template.jinja").read_text()
    assert {"tokenizer.json", "tokenizer_config.json"} <= {path.name for path in adapter.iterdir()}
