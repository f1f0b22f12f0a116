"""Presets, the command line, the benchmarks, and the recipes behind published results.

Importing this package, before torch, settles two things with the environment's variables, unless the user has:
- OpenMP's idle threads sleep rather than spin. Torch's would otherwise take the cores from the simulator's, and two
  runs on one machine would each be tens of times slower.
- Torch asks for huge pages, and the C library keeps up to 2 GiB of freed memory: an update's tensors of megabytes
  otherwise cost more in page faults than in sums.
"""

import ctypes
import os
import sys

for _name, _value in (("OMP_WAIT_POLICY", "PASSIVE"), ("GOMP_SPINCOUNT", "0"), ("THP_MEM_ALLOC_ENABLE", "1")):
    os.environ.setdefault(_name, _value)

if sys.platform == "linux":
    try:
        _mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        pass  # a C library other than GNU's: it has its own ways
    else:
        _mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        _mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: the largest allowed
