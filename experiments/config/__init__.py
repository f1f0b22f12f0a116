"""The settings of experiments: dataclasses for tasks, learners, outer loops and runs, which check their values."""
