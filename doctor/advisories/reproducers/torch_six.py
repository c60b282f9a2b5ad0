"""The file of timm 0.3 that reads torch._six, as old deepspeed and apex; alone, for timm needs torchvision."""

import importlib.util
from pathlib import Path

from _verdict import raises


def imported():
    (folder,) = importlib.util.find_spec("timm").submodule_search_locations
    places = [Path(folder, "models", "layers", "helpers.py"), Path(folder, "layers", "helpers.py")]
    path = next(place for place in places if place.exists())
    spec = importlib.util.spec_from_file_location("helpers", str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.to_2tuple(1)


raises(imported, r"No module named 'torch\._six'|from 'torch\._six'")
