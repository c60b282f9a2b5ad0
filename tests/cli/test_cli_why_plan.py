"""What `envdoc why` asks of other rooms: the plan of `fix` for this machine, the rules for a model's folder."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "rules"))

import cases_model

from envdoc.doctor.advisories.conditions import holds
from envdoc.doctor.commands.why_plan import FIX, with_folder_checks, with_plan

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
FOUND = {"causes": [{"code": "a", "remedy": ["Do it.", FIX]}, {"code": "b", "remedy": ["Nothing."]}]}


def told(name):
    """The recorded machine of that name, as JSON."""
    return json.loads((SNAPSHOTS / f"{name}.json").read_text(encoding="utf-8"))


def test_the_command_names_the_lockfile_that_fits():
    """For an H100 with a driver for CUDA 13 `fix --apply` is completed by a profile for CUDA; other causes stay."""
    first, second = with_plan(FOUND, told("h100-cu130"))["causes"]
    assert ["Do it.", True] == [first["remedy"][0], first["remedy"][1].startswith(f"{FIX} --profile py3")]
    assert FOUND["causes"][1] == second


def test_the_fact_in_the_way_stands_where_no_lockfile_fits():
    """A driver of 2019 reaches the CUDA of none: the command would build an environment for the CPU."""
    facts = told("gtx1080-driver470")
    facts["driver"].update(version="418.40", cuda="10.1")
    (_, words) = with_plan(FOUND, facts)["causes"][0]["remedy"]
    assert words.startswith("No lockfile of envdoc fits this machine: ")
    assert FIX not in words


def test_a_machine_without_a_gpu_is_told_so():
    """An environment for the CPU does not mend a fault of the GPU; the line says what is seen."""
    (_, words) = with_plan(FOUND, told("cpu"))["causes"][0]["remedy"]
    assert words.endswith("# no GPU is seen on this machine")


@pytest.mark.parametrize("code", ["TOK021", "TRF021"])
def test_conditions_read_the_rules_about_a_models_folder(code):
    """`model:NAME` holds where the snapshot's folder fails the rule of that name, and not where it passes."""
    from envdoc.doctor.rules.messages import messages

    name = messages()[code].name
    bad, good = cases_model.FAILING[code][0], cases_model.PASSING[code][0]
    asked = [with_folder_checks(json.loads(one.snapshot.to_json())) for one in (bad, good)]
    assert [True, False] == [holds((f"model:{name}",), (), facts) for facts in asked]


def test_loose_facts_stay_as_they_are():
    """What a thread tells has no folder to be judged."""
    assert {"python": "3.11"} == with_folder_checks({"python": "3.11"})
    assert with_folder_checks(None) is None
