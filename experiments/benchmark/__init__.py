"""Benchmarks of speed and accuracy, with ratios to other implementations that are measured in the same process.

`python -m metarl.experiments.benchmark NAME [--json FILE]`, where NAME is one of sampling, update,
supervised, iteration, scaling, accuracy and optimizers, runs one of them.
"""
