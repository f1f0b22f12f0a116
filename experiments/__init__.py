"""Presets, the command line, the benchmarks, and the recipes behind published results.

Importing this package, before torch, settles two things with the environment's variables, unless the user has:
- OpenMP's idle threads sleep rather than spin. Torch's would otherwise take the cores from the simulator's, and two
  runs on one machine would each be tens of times slower.
- Torch asks for huge pages: an update's tensors of tens of megabytes otherwise cost more in page faults than in sums.
"""

import os

for _name, _value in (("OMP_WAIT_POLICY", "PASSIVE"), ("GOMP_SPINCOUNT", "0"), ("THP_MEM_ALLOC_ENABLE", "1")):
    os.environ.setdefault(_name, _value)
