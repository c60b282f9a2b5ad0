"""Faults of GPUs that are not what their name says. (What only `check --deep` measures is tested in tests/probes.)"""

import fakes
from fault import fault


@fault("G50", "GPU053", also=["TOR", "BNB"], says=["mislabel", "compute capability 8.6", "not what"])
def card_with_another_name(box):
    """A card that calls itself an H100 and has the chip of an RTX 30 (capability 8.6)."""
    box.gpu_machine(fakes.H100.replace("|9.0|", "|8.6|"))


@fault("G51", "GPU054", says=["20 GB", "less memory", "share of"])
def share_of_a_card(box):
    """A container's runtime hands out 20 GB of an H100 under the card's full name."""
    fields = fakes.H100.split("|")
    fields[2] = "20480"
    box.gpu_machine("|".join(fields))
