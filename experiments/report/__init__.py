"""Comparisons, tables, plots and films of runs."""
