"""Presets, the command line, the benchmarks, and the recipes that reproduce published results.

When this package is imported before torch, it sets environment variables that the user has not set:
- Idle threads of OpenMP sleep instead of spinning. Otherwise, torch's idle threads would take the cores from the
  simulator, and two runs on one machine would each be tens of times slower.
- Torch uses huge pages, and the C library keeps up to 2 GiB of freed memory. Otherwise, page faults for the large
  tensors of an update would take longer than the computation.
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
        pass  # not the GNU C library
    else:
        _mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        _mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: the maximum
