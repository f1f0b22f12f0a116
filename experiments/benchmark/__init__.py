"""Benchmarks, kept: speed as ratios to what else there is, measured in the same run.

`python -m metarl.experiments.benchmark sampling|update|supervised|iteration|scaling [--json FILE]`
"""
