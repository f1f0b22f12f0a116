"""Settings of experiments: a task, a learner, an outer loop and a run, each a dataclass that checks its values."""
