"""Presets, the command line, and the recipes behind published results.

Importing this package, before torch, asks OpenMP's idle threads to sleep rather than spin: torch's would otherwise
take the cores from the simulator's, and two runs on one machine would each be tens of times slower.
"""

import os

for _name, _value in (("OMP_WAIT_POLICY", "PASSIVE"), ("GOMP_SPINCOUNT", "0")):
    os.environ.setdefault(_name, _value)
