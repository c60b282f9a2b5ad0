"""The newest libraries that an old Python can have (python_ceilings.toml)."""

from typing import Dict, cast

from envdoc.doctor.tables import load
from envdoc.doctor.tables.versions import numbers


def ceilings(python: str) -> Dict[str, str]:
    """Library -> last release for that Python ("3.8.18" is 3.8); empty for a Python without a ceiling."""
    minor = ".".join(str(number) for number in numbers(python)[:2])
    return cast(Dict[str, str], load("python_ceilings").get(minor, {}))
