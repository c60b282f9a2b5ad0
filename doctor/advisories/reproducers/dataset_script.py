"""load_dataset of a folder with a loading script."""

from pathlib import Path

from _verdict import raises

SCRIPT = """
import datasets

class Own(datasets.GeneratorBasedBuilder):
    def _info(self):
        return datasets.DatasetInfo(features=datasets.Features({"text": datasets.Value("string")}))

    def _split_generators(self, manager):
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN)]

    def _generate_examples(self):
        yield 0, {"text": "hello"}
"""


def load():
    Path("own").mkdir()
    Path("own/own.py").write_text(SCRIPT)
    from datasets import load_dataset_builder

    return type(load_dataset_builder("own/own.py", trust_remote_code=True)).__name__


raises(load, "Dataset scripts are no longer supported|trust_remote_code")
