"""An adapter whose adapter_config.json has keys of a later peft."""

import json
from pathlib import Path

from _small import llama, lora
from _verdict import raises


def load():
    from peft import PeftModel

    lora().save_pretrained("adapter")
    path = Path("adapter/adapter_config.json")
    config = json.loads(path.read_text())
    config.update(alora_invocation_tokens=None, corda_config=None, use_qalora=False)
    path.write_text(json.dumps(config))
    return type(PeftModel.from_pretrained(llama(), "adapter")).__name__


raises(load, r"Config\.__init__\(\) got an unexpected keyword argument|is not a valid")
