"""A plan and the generations as text for a person."""

from typing import List, Sequence

from envdoc.doctor.fix.choose import way_out
from envdoc.doctor.fix.generations import Generation
from envdoc.doctor.fix.plan import Action, How, Plan


def plan_text(plan: Plan) -> str:
    """What would be done and why, what it downloads, what it needs of the disk, and what is left to the reader."""
    if plan.nothing_to_do:
        return f"Nothing to do. {plan.why}\n" + "".join(line + "\n" for line in _probe_lines(plan))
    lines: List[str] = []
    if plan.builds:
        lines += _build_lines(plan)
    else:
        lines.append(f"No new environment is needed. {plan.why}")
    lines += _probe_lines(plan)
    for how, heading in (
        (How.NEW_ENVIRONMENT, "Mended by the new environment:"),
        (How.IN_PLACE, "Mended in place by `envdoc fix --apply`, and undone by `envdoc fix --undo`:"),
        (How.PRINTED, "Left to you:"),
    ):
        actions = [action for action in plan.actions if action.how is how]
        if not actions:
            continue
        lines += ["", heading]
        for action in actions:
            lines += _action_lines(action)
    return "\n".join(lines) + "\n"


def _action_lines(action: Action) -> List[str]:
    lines = [f"  {action.code}  {action.title}"]
    if action.how is How.NEW_ENVIRONMENT:
        return lines
    lines.append(f"      {action.reason}")
    if action.how is How.IN_PLACE:
        return [*lines, *(f"      + {step.text()}" for step in action.steps)]
    return [*lines, *(f"      $ {command}" for command in action.commands)]


def _probe_lines(plan: Plan) -> List[str]:
    """What the plan rests on: where no probe was run, a library that does not import may be among the unseen."""
    if plan.probes == "remembered":
        return [f"  Of what runs, the plan knows what `envdoc check` saw at {plan.probes_at}."]
    if plan.probes == "not run":
        return [
            "  The plan rests on files alone: nothing was run. `envdoc check` runs the probes, and so does "
            "`envdoc fix --probes`."
        ]
    return []


def _build_lines(plan: Plan) -> List[str]:
    profile, python = plan.choice.profile, plan.choice.python
    if profile is None or python is None:
        lines = [f"A new environment is needed, and no profile fits this machine. {plan.why}"]
        lines += [f"  {name}: {fact}" for name, fact in plan.choice.rejected]
        return [*lines, f"  Nearest way out: {way_out(plan.choice)}"]
    lines = [
        f"A new environment: {profile.name} ({profile.title}).",
        f"  Why: {plan.why}",
        *(f"  {reason}" for reason in plan.choice.reasons),
    ]
    if plan.reuses:
        lines.append(
            f"  `{plan.reuses}` was built from this lock: it is checked and, if it passes, used again."
        )
    lines.append(
        f"  Download: {_download(plan)}, with {plan.installer}, every file checked against its hash."
    )
    lines.append(_duration_line(plan))
    lines += _disk_lines(plan)
    lines.append(
        "  Beside your other environments: none of them is changed, and `envdoc rollback` goes back."
    )
    if plan.choice.gpu_unused:
        if plan.choice.nearest is not None:
            lines.append(f"  Nearest way to use the GPU: {way_out(plan.choice)}")
        lines.append("  The GPU of this machine stays unused, because:")
        lines += [f"    {name}: {fact}" for name, fact in plan.choice.rejected]
    return lines


def _download(plan: Plan) -> str:
    """How much; of what the caches hold only what is known to be there is taken off."""
    whole = size(plan.download_bytes)
    if plan.cached_bytes is not None:
        if not plan.missing_bytes:
            return f"nothing, since all of it ({whole}) is here already"
        here = f", since {size(plan.cached_bytes)} of {whole} are here already" if plan.cached_bytes else ""
        whole = ("at most " if here else "") + size(plan.missing_bytes) + here
    else:
        whole = f"at most {whole}"
    if plan.least_download_bytes < plan.download_bytes:
        return (
            f"{size(plan.least_download_bytes)} where the index offers torch's CPU build, otherwise {whole}"
        )
    return whole


def _duration_line(plan: Plan) -> str:
    if plan.rate is None:
        return (
            "  How long the download takes is not known, since no rate was measured here: "
            "`envdoc check --online` measures it."
        )
    rate = plan.rate
    takes = duration(rate.seconds(plan.missing_bytes))
    if plan.least_download_bytes < plan.download_bytes:
        takes = f"{duration(rate.seconds(plan.least_download_bytes))}, or {takes}"
    cached = (
        "" if plan.cached_bytes is not None else f"; less where files are in {plan.installer}'s cache already"
    )
    return (
        f"  The download takes {takes} at the {size(int(rate.bytes_per_second))}/s of {rate.how} "
        f"({rate.measured_at}){cached}."
    )


def _disk_lines(plan: Plan) -> List[str]:
    disk = size(plan.disk_bytes)
    if plan.least_disk_bytes < plan.disk_bytes:
        disk = f"{size(plan.least_disk_bytes)}, or {disk}"
    free = "" if plan.free_bytes is None else f"; {size(plan.free_bytes)} are free"
    lines = [f"  Disk while it is built: {disk}{free}."]
    one_disk = plan.installer == "uv" and len(plan.rooms) == 1
    shared = ", shared with uv's cache by hard links" if one_disk else ""
    lines.append(f"  Disk afterwards: {size(plan.disk_after_bytes)} at most{shared}.")
    for room in plan.rooms:
        if room.purpose == "cache" and room.free_bytes is not None:
            lines.append(
                f"  {plan.installer}'s cache `{room.folder}` lies on another disk, which needs "
                f"{size(room.needed_bytes)} more; {size(room.free_bytes)} are free."
            )
    return lines


def diff_text(plan: Plan) -> str:
    """What changes, a line each, and nothing else; a sentence where nothing does."""
    lines = plan.diff_lines()
    if not lines:
        return f"Nothing changes. {plan.why}\n"
    difference = plan.difference
    if difference is not None and plan.builds:
        lines.append(
            f"{len(difference.added)} come, {len(difference.removed)} go, {len(difference.changed)} change, "
            f"{difference.unchanged} stay; in a new environment, beside the present one."
        )
    return "\n".join(lines) + "\n"


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def generations_text(generations: Sequence[Generation]) -> str:
    """Every generation, oldest first, the current one marked."""
    if not generations:
        return "There is no generation yet. `envdoc fix --apply` builds one.\n"
    lines = [
        f"{'*' if item.is_current else ' '} {item.name}  Python {item.python_version}, {item.packages} packages, "
        f"{size(item.bytes)}, built {item.date}"
        for item in generations
    ]
    return "\n".join(lines) + "\n"


def size(count_bytes: int) -> str:
    """`2.93 GB`, or `12.3 MB` below a gigabyte."""
    return f"{count_bytes / 1e9:.2f} GB" if count_bytes >= 1e9 else f"{count_bytes / 1e6:.1f} MB"
