"""Where the lockfiles lie, in a checkout and in an installed wheel alike. `doctor/fix/profiles.py` reads them."""

from pathlib import Path

FOLDER = Path(__file__).parent
PROFILES = FOLDER / "profiles.toml"


def lock_path(profile: str) -> Path:
    """The hash-pinned requirements of a profile; whether the file exists is for the caller to see."""
    return FOLDER / (profile + ".txt")
