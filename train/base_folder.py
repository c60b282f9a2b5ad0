"""Where the base lies: the folder that the run names, or the tiny model, made in the run's own folder."""

import shutil
from pathlib import Path
from typing import Sequence

from envdoc.train import tiny
from envdoc.train.checkpoint import PARTIAL, replace_folder
from envdoc.train.config import TINY
from envdoc.train.data import Row, made_elsewhere
from envdoc.train.errors import ConfigError, SaveError
from envdoc.train.model import check_folder
from envdoc.train.parallel import world
from envdoc.train.ready import Asked


def folder_of(asked: Asked, rows: Sequence[Row], place: Path) -> Path:
    """The base's folder; the tiny model is made in the run's own, so that the adapter's base stays there."""
    settings = asked.settings
    if settings.model.path != TINY:
        return check_folder(settings.model)
    base = place / "base"
    if (asked.resume or not world.is_main()) and base.is_dir():
        return base
    if made_elsewhere(rows):
        raise ConfigError(
            f"`model` is {TINY}, whose tokenizer is made of the rows' text, and those of `{settings.data.path}` hold "
            "token ids.",
            "Name the folder of the model whose tokenizer made them: `model=FOLDER`.",
        )
    partial = place / f"{PARTIAL}base"
    shutil.rmtree(partial, ignore_errors=True)
    tiny.make_tiny(partial, (turn["content"] for row in rows for turn in row.messages), settings.train.seed)
    try:
        replace_folder(partial, base)
    except OSError as error:
        raise SaveError(f"`{base}` cannot be written: {error.strerror}.") from None
    return base
