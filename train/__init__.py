"""The training pipeline. It runs in the target environment, started by `launch.py`, and never imports the doctor.

launch ─> pipeline ─> runfile ─> data, labels ─> model ─> trainer ─> checkpoint ─> verify ─> receipt ─> fresh ─> page
       ├> judge ───────────────────────────────> model ─────────────────────────> verify  <─────────────┘
       ├> examine (`envdoc data`: the rows by themselves)
       └> laid ─> merge, export, chat (an adapter after its training)

`config` is the reference of every key of a run, `compat` holds every difference between versions of the libraries.
Runs on Python 3.8 with torch 2.0, transformers 4.46 and peft 0.13, and on the newest.
"""
