"""Rules about what a rented machine gives beside its GPUs: processors and host memory."""

from typing import List, Union

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import gigabytes, gpu_name
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule

# Each GPU has a process that launches kernels, which fills one processor, beside a worker that reads and tokenises
# data. With less than two they take turns while the GPU waits; less than one stalls. Our judgement from that.
PROCESSORS_PER_GPU = 2.0

# torch.load of a .bin checkpoint, and from_pretrained before low_cpu_mem_usage was the default, hold the whole model
# in host memory first. Providers sell at least as much host memory as GPU memory; half of that is our bound.
SHARE_OF_GPU_MEMORY = 0.5


@rule("SYS040")
def few_processors(machine: Snapshot) -> Union[List[Problem], Passed]:
    """Fewer processors, by affinity and by the control group's quota, than the GPUs need to be kept busy."""
    host, gpus = machine.host, len(machine.gpus)
    if not gpus:
        raise Skip("no GPU was found")
    if not host.cpu_count:
        raise Skip("the number of processors was not told")
    granted = min(float(host.cpu_count), host.cpu_limit or float(host.cpu_count))
    values = {"granted": f"{granted:g}", "gpus": "1 GPU" if gpus == 1 else f"{gpus} GPUs"}
    if granted >= PROCESSORS_PER_GPU * gpus:
        return Passed(values)
    evidence = f"{host.cpu_count} processors are seen, {granted:g} granted, {granted / gpus:.2g} for each GPU"
    severity = Severity.WARNING if granted < gpus else None
    return [Problem(values, (evidence,), ("data loading", "training speed"), severity)]


@rule("SYS041")
def memory_share(machine: Snapshot) -> Union[List[Problem], Passed]:
    """Host memory that is much smaller than one GPU's: a model that the GPU holds may not pass through it."""
    host = machine.host
    if not machine.gpus or not max(gpu.memory_bytes for gpu in machine.gpus):
        raise Skip("no GPU told its memory")
    if not host.memory_bytes:
        raise Skip("the machine's memory was not told")
    largest = max(machine.gpus, key=lambda gpu: gpu.memory_bytes)
    granted = min(host.memory_bytes, host.memory_limit_bytes or host.memory_bytes)
    values = {
        "memory": gigabytes(granted),
        "gpu": gpu_name(largest),
        "gpu_memory": gigabytes(largest.memory_bytes),
    }
    if granted >= SHARE_OF_GPU_MEMORY * largest.memory_bytes:
        return Passed(values)
    evidence = f"memory {gigabytes(host.memory_bytes)}, granted {gigabytes(granted)}"
    return [Problem(values, (evidence,), ("loading a model",))]
