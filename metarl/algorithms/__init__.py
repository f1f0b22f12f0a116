"""Outer loops: updates of the meta-parameters from the episodes of a meta-batch."""
