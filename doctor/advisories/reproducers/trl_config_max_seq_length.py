"""SFTConfig(max_seq_length=...), which is max_length now."""

from _verdict import raises


def config():
    from trl import SFTConfig

    return str(SFTConfig(output_dir="out", max_seq_length=64, use_cpu=True).output_dir)


raises(config, "unexpected keyword argument 'max_seq_length'")
