"""Meta-learning and meta-reinforcement-learning on one core."""
