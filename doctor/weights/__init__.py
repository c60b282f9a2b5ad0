"""Files of weights and of tokenizers, read byte by byte: no torch, no safetensors, no sentencepiece, no unpickling.

`safetensors` and `pickled` give the same Archive of tensors, `numbers` looks at their values a block at a time.
"""
