"""What `envdoc why` asks of the other rooms: the fix plan for its remedies, the rules for a model's folder."""

import json
from typing import Any, Dict, List, Mapping

from envdoc.doctor.errors import EnvdocError

FIX = "envdoc fix --apply"
OF_FOLDERS = ("TOK02", "TOK03", "TRF02", "TRF03")  # the rules about a model's folder


def with_plan(found: Dict[str, Any], facts: Mapping[str, Any]) -> Dict[str, Any]:
    """The document with each `envdoc fix --apply` completed by the choice for this machine, whose snapshot `facts` is.

    Where no lockfile fits, the command goes, and the fact that is in the way stands in its place.
    """
    if not any(FIX in cause["remedy"] for cause in found["causes"]):
        return found
    words = _choice(facts)
    causes = [
        {**cause, "remedy": [words if line == FIX else line for line in cause["remedy"]]}
        for cause in found["causes"]
    ]
    return {**found, "causes": causes}


def _choice(facts: Mapping[str, Any]) -> str:
    from envdoc.doctor.facts.snapshot import from_json
    from envdoc.doctor.fix.choose import choose, way_out
    from envdoc.doctor.fix.profiles import load_profiles
    from envdoc.doctor.fix.pythons import available_pythons
    from envdoc.doctor.fix.room import free_bytes
    from envdoc.doctor.home import home

    choice = choose(from_json(json.dumps(facts)), available_pythons(), load_profiles(), free_bytes(home()))
    if choice.profile is not None and not choice.gpu_unused:
        command = f"{FIX} --profile {choice.profile.name}"
        return f"{command}  # no GPU is seen on this machine" if choice.profile.is_cpu else command
    fact = choice.nearest.fact if choice.nearest else next((fact for _, fact in choice.rejected), "")
    return f"No lockfile of envdoc fits this machine: {fact}. {way_out(choice)}"


def with_folder_checks(facts: Any) -> Any:
    """Given facts that are a snapshot with a model's folder, with the names of the rules that it fails as `model`."""
    if not isinstance(facts, dict) or not facts.get("model_folder") or "schema_version" not in facts:
        return facts
    from envdoc.doctor.facts.snapshot import from_json
    from envdoc.doctor.rules.registry import all_rules, judge, selected

    try:
        checks = judge(from_json(json.dumps(facts)), selected(all_rules(), OF_FOLDERS))
    except EnvdocError:
        return facts  # of another envdoc; what can be read of it is still told
    names: List[str] = [check.name for check in checks if check.failed]
    return {**facts, "model": {"checks": names}}
