"""Is an adapter real? Said of its folder alone, whoever wrote it: no torch, no peft, no base model.

`folder` reads what lies there, `checks` and `config_checks` judge it, `compare` tells two apart, `rescue` writes a new
folder with the names that peft loads.
"""
