"""`scripts/bench quantization`: the kit beside its peers' documented defaults, in one run.

command.py       the options, the order of the steps, the exit code
peers.py         the table of peers; what each one does is in scripts/peers/NAME.py
environments.py  an environment of its own for each peer, and how it is started
inputs.py        pictures and float model, the same for everyone
own.py           the kit's own builds, run by their own runtimes
scores.py        numbers and table rows: pure
"""
