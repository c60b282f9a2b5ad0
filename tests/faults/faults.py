"""All faults, and the machines that are healthy before one of them is put in."""

import faults_deep
import faults_extensions
import faults_gpu
import faults_host
import faults_leaks
import faults_loader
import faults_packages
import faults_rented
import faults_settings
import faults_stack
import faults_system
from box import Box
from fault import FAULTS, Fault

families = (
    faults_deep,
    faults_extensions,
    faults_gpu,
    faults_host,
    faults_leaks,
    faults_loader,
    faults_packages,
    faults_rented,
    faults_settings,
    faults_stack,
    faults_system,
)
NAMED = {id: fault for id, fault in sorted(FAULTS.items()) if fault.names}
NOT_NAMED = {id: fault for id, fault in sorted(FAULTS.items()) if not fault.names}


def healthy_cpu(box: Box) -> None:
    """A machine without a GPU, and a torch for it."""


def healthy_gpu(box: Box) -> None:
    """A machine with an H100, driver 580 and a torch for CUDA 13.0."""
    box.gpu_machine()


def healthy_two_gpus(box: Box) -> None:
    """A machine with two H100."""
    import fakes

    box.gpu_machine(fakes.H100, fakes.H100.replace("3B", "5E"))


HEALTHY = (healthy_cpu, healthy_gpu, healthy_two_gpus)
__all__ = ["HEALTHY", "NAMED", "NOT_NAMED", "Fault"]
