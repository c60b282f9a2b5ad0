"""The command `data`: what was asked becomes a run, the run's data a survey, the survey a page."""

import json
import sys
from pathlib import Path
from typing import Optional, Sequence

from envdoc.train import runfile
from envdoc.train.config import TINY
from envdoc.train.data import data_file
from envdoc.train.errors import ConfigError
from envdoc.train.examine.measure import measure_of
from envdoc.train.examine.show import document, lines, printable
from envdoc.train.examine.survey import survey

RUN_FILES = (".yaml", ".yml")


def examine(file: str, model: Optional[str], overrides: Sequence[str], form: str) -> int:
    """Print the report; 0 where the data is fit, 1 where training would refuse it. Raises TrainError.

    `file` is the data, or a run file, whose data, model and limits are then taken.
    """
    words = [f"model.path={model}"] if model else []
    if Path(file).suffix.lower() in RUN_FILES:
        run, _ = runfile.load(file, [*words, *overrides])
    else:
        asked = [f"data.path={file}", f"model.path={model or TINY}"]
        run, _ = runfile.load(None, [*asked, *overrides], here=False)
    path = data_file(run.data)
    if (path / "config.json").is_file():
        raise ConfigError(f"`{path}` is a model's folder, and no data.", "Name it with `--model`.")
    found = survey(run, measure_of(run))
    text = (
        json.dumps(document(found), indent=2) if form == "json" else "\n".join(map(printable, lines(found)))
    )
    encoding = (
        getattr(sys.stdout, "encoding", None) or "utf-8"
    )  # a terminal's may lack the marks that are quoted
    print(text.encode(encoding, "replace").decode(encoding))
    return 0 if found.fit else 1
