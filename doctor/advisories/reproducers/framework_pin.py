"""LLaMA-Factory's own check of the versions around it."""

import os

os.environ.pop("DISABLE_VERSION_CHECK", None)

from _verdict import raises


def check():
    from llamafactory.extras.misc import check_dependencies

    return check_dependencies()


raises(check, r"transformers\S* is required for a normal functioning of this module")
