"""A model's folder mended: what an old conversion of LLaMA left in its JSON files, by what tokenizer.model says.

`plan` says what would change and why not, `apply` changes it and keeps each original; nothing else is ever touched.
"""
