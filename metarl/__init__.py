"""Meta-learning and meta-reinforcement-learning on one core."""

__version__ = "0.1.0"
