"""What is installed in an environment, by its metadata."""

import json
from pathlib import Path
from typing import Dict

from envdoc.doctor.child import run
from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.bytecode import site_packages
from envdoc.doctor.fix.pip_config import last_line

_LIMIT_SECONDS = 300.0
_LIST = """
import json, sys
from importlib.metadata import distributions
found = {d.metadata["Name"]: d.version for d in distributions(path=sys.argv[1:])}
print(json.dumps({name: found[name] for name in sorted(found)}))
"""


def installed_packages(environment: Path) -> Dict[str, str]:
    """Name -> version of everything that is installed. Raises FixError where its Python cannot tell."""
    interpreter = str(environment / "bin" / "python")
    done = run([interpreter, "-I", "-S", "-c", _LIST, *map(str, site_packages(environment))], _LIMIT_SECONDS)
    if not done.ok:
        raise FixError(f"The new environment's packages cannot be listed: {last_line(done.stderr)}")
    listed: Dict[str, str] = json.loads(done.stdout)
    return listed
