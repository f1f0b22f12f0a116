"""Benchmarks of speed and accuracy, with ratios to other implementations that are measured in the same process.

`python -m metarl.experiments.benchmark sampling|update|supervised|iteration|scaling|accuracy [--json FILE]`
"""
