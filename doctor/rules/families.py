"""Every family of rules. Importing a family registers its rules; a new family is one more name here."""

from envdoc.doctor.rules import (
    bitsandbytes,
    couplings,
    driver,
    gpu,
    packages,
    python,
    system,
    toolkit,
    torch_build,
    variables,
)

families = (
    driver,
    gpu,
    torch_build,
    bitsandbytes,
    python,
    packages,
    couplings,
    toolkit,
    system,
    variables,
)
