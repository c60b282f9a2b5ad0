"""The first import of torch, transformers and peft, which is where a broken environment shows."""

import logging
import sys

from envdoc.train.errors import ModelError
from envdoc.train.progress import moves


def load_libraries() -> None:
    """Import what training needs and keep its notices off the terminal.

    Raises ModelError with the library's reason: the caller has read and checked everything cheaper by then.
    """
    # Importing peft imports bitsandbytes, which warns of every backend that it lacks; `model.py` tries it instead.
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        from transformers import Trainer  # noqa: F401  (transformers imports without a torch that it finds too old)
    except (
        Exception
    ) as error:  # ImportError, and what broken builds raise: OSError, ValueError, AttributeError...
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"`{sys.executable}` cannot import what training needs: {lines[0].rstrip('.')}.",
            "`envdoc check` says why, and `envdoc fix --apply` builds an environment in which it works.",
        ) from None
    from envdoc.train.compat import quiet

    quiet(progress_bars=moves(sys.stderr))
