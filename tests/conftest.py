"""For every test: torch on one thread, and tests/ (where `toys`, `byhand` lie) importable from the folders below it."""

import torch

torch.set_num_threads(1)
