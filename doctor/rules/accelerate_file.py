"""Rules about accelerate's configuration file: can the installed accelerate read it, and does what it names exist."""

from typing import List, Optional

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.facts.surroundings import AccelerateConfig
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import models, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule

# What older releases wrote and later ones take away before they look (accelerate 1.15.0, config_args.py).
_CONVERTED = ("fp16", "dynamo_backend")


@rule("CFG090")
def unreadable(machine: Snapshot) -> List[Problem]:
    """A file that is no configuration, or has keys that this accelerate refuses."""
    config = _config(machine)
    accelerate = version_of(machine, "accelerate")
    if accelerate is None:
        raise Skip("accelerate is not installed")
    if config.problem:
        what = config.problem
    else:
        unknown = [
            key for key in config.keys if config.known_keys and key not in (*config.known_keys, *_CONVERTED)
        ]
        if unknown:
            what = f"it has the unknown key {unknown[0]}"
        elif config.keys and "distributed_type" not in config.keys:
            what = "it has no distributed_type"
        else:
            return []
    values = {
        "accelerate": shorten(accelerate, 14),
        "what": what,
        "short": shorten(what, 37),
        "path": config.path,
    }
    return [Problem(values, (f"{config.path}: {what}",), ("accelerate launch",))]


@rule("CFG091")
def names_what_is_not_there(machine: Snapshot) -> List[Problem]:
    """GPUs, a main machine or a deepspeed file that the configuration names or needs and that are not there."""
    config = _config(machine)
    values, found = config.values, models(machine)
    count = sum(model.count for model in found)
    problems = []
    ids = values.get("gpu_ids", "all").lower()
    numbers = [entry.strip() for entry in ids.split(",") if entry.strip().isdecimal()]
    absent = [number for number in numbers if count and int(number) >= count]
    if absent and values.get("use_cpu", "false").lower() not in ("true", "yes"):
        problems.append(_problem(config, f"GPU {absent[0]}, counted from 0, of {count}", f"gpu_ids: {ids}"))
    machines = values.get("num_machines", "1")
    main = values.get("main_process_ip", "").strip("'\"").lower()
    # `static`, the default, is the only way to meet that needs the address beforehand.
    static = values.get("rdzv_backend", "static").lower() == "static"
    if machines.isdecimal() and int(machines) > 1 and main in ("", "null", "~") and static:
        problems.append(
            _problem(
                config,
                f"{machines} machines without main_process_ip",
                f"num_machines: {machines}",
                # A scheduler's script names the address on the command line.
                Severity.INFO if "SLURM_JOB_ID" in machine.variables else None,
            )
        )
    for missing in config.missing_files:
        key, _, file = missing.partition(": ")
        problems.append(_problem(config, f"{key} {shorten(file, 20)}, which is gone", missing))
    return problems


def _problem(
    config: AccelerateConfig, asked: str, evidence: str, severity: Optional[Severity] = None
) -> Problem:
    values = {"asked": shorten(asked, 46), "path": config.path, "all": asked}
    return Problem(values, (evidence,), ("accelerate launch",), severity)


def _config(machine: Snapshot) -> AccelerateConfig:
    config = machine.surroundings.accelerate
    if config is None:
        raise Skip("accelerate has no default configuration")
    if config.values.get("compute_environment", "LOCAL_MACHINE") == "AMAZON_SAGEMAKER":
        raise Skip("the configuration is for SageMaker")
    return config
