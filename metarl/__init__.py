"""Meta-learning and meta-reinforcement-learning on one core.

`import metarl as ml` is all that most scripts need. Nothing else is imported until it is asked for: the names that
__init__.pyi lists come from their modules when they are first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
