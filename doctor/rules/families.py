"""Every family of rules. Importing a family registers its rules; a new family is one more name here."""

from envdoc.doctor.rules import (
    bitsandbytes,
    couplings,
    driver,
    driver_age,
    gpu,
    machine_share,
    named_issues,
    network,
    packages,
    probe_results,
    python,
    system,
    toolkit,
    torch_build,
    variables,
)

families = (
    driver,
    driver_age,
    gpu,
    torch_build,
    bitsandbytes,
    python,
    packages,
    couplings,
    toolkit,
    system,
    machine_share,
    variables,
    probe_results,
    named_issues,
    network,
)
