"""Carry out what a plan mends in place, look again whether it helped, and take it back."""

import os
from typing import TYPE_CHECKING, List, Set, Tuple

from envdoc.doctor.commands.output import announce
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.home import home

if TYPE_CHECKING:
    from envdoc.doctor.commands.fix_plan import Planned
    from envdoc.doctor.fix.plan import Action

_OF_PROBES = ("CFG073", "CFG074")  # told by a probe only: to look again is to run them again


def use_settings() -> None:
    """Put the settings of earlier fixes into this process, as `envdoc run` does, and say which."""
    from envdoc.doctor.fix.settings import use

    used = use(os.environ, home())
    if used:
        announce(f"With what an earlier `envdoc fix` settled: {'; '.join(step.text() for step in used)}.")


def settle_plan(planned: "Planned") -> bool:
    """Write the plan's settings, make its folders, and look again; True where every finding of them is gone.

    What did not help is taken back. Raises FixError where they cannot be written; nothing has changed then.
    """
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.settings import keep_only, settle, use

    actions = [action for action in planned.plan.actions if action.steps]
    before = dict(os.environ)
    with Generations(home()).locked():
        settle(home(), [action.code for action in actions], planned.plan.steps)
        use(os.environ, home())
        still = _still(planned, actions)
        helped = [action for action in actions if (action.code, action.title) not in still]
        if len(helped) < len(actions):
            steps = tuple(dict.fromkeys(step for action in helped for step in action.steps))
            keep_only(home(), [action.code for action in helped], steps)
            os.environ.clear()
            os.environ.update(before)
            use(os.environ, home())
    for action in actions:
        what = "; ".join(step.text() for step in action.steps)
        if action in helped:
            announce(f"{action.code}: {what}. It is no longer found.")
        else:
            announce(f"{action.code}: {what}. It is found all the same: taken back.")
    if helped:
        announce("This holds in `envdoc run`, `shell` and `train`. Undo it: `envdoc fix --undo`.")
        own = [command for action in helped for command in action.commands if _of_the_shell(command)]
        if own:
            announce(f"The same for your own shell: {'; '.join(dict.fromkeys(own))}")
    return len(helped) == len(actions)


def _of_the_shell(command: str) -> bool:
    return command.startswith(("unset ", "export ")) and "/path/" not in command


def undo_settings() -> None:
    """Take back what the last `envdoc fix --apply` settled in place. Raises EnvdocError where there is nothing."""
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.settings import receipts, undo

    if not receipts(home()):
        raise EnvdocError(
            "No settings of `envdoc fix` are in use, so there is nothing to undo.",
            "`envdoc rollback` goes back to the environment before; `--model DIR --undo` is for a model's folder.",
        )
    with Generations(home()).locked():
        gone = undo(home())
    if gone is not None:
        print(f"Taken back ({', '.join(dict.fromkeys(gone.codes))}):")
        for step in gone.steps:
            print(f"  {step.text()}")


def _still(planned: "Planned", actions: "List[Action]") -> Set[Tuple[str, str]]:
    """Code and title of everything that is found now."""
    from envdoc.doctor.examine import look, redacted_check
    from envdoc.doctor.rules.registry import judge

    deep = any(action.code.startswith(_OF_PROBES) for action in actions)
    codes = {action.code for action in actions}
    checks = judge(look(planned.target, quick=not deep))
    failed = [redacted_check(check) for check in checks if check.failed and check.code in codes]
    return {(check.code, check.title) for check in failed}
