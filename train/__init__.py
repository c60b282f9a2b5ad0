"""The training pipeline. It runs in the target environment, started by `launch.py`, and never imports the doctor.

launch ─> config ─> data ─> model ─> trainer ─> checkpoint ─> verify ─> receipt, curve

`compat` holds every difference between versions of the libraries, `fingerprint` every hash, `progress` what is
said while it trains. Runs on Python 3.8 with torch 2.0, transformers 4.46 and peft 0.13, and on the newest.
"""
