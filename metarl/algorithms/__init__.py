"""Outer loops: how the meta-parameters change, given the episodes of a meta-batch."""
