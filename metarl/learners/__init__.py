"""Learners: the inner loops by which the methods adapt to the support of a task."""
