"""Meta-learning and meta-reinforcement learning in PyTorch.

`import metarl as ml` is all that most scripts need. The names listed in __init__.pyi are imported from their modules
when they are first used, so that importing the package itself is fast.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
