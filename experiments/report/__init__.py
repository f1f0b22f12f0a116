"""What is made of evaluated runs: comparisons, tables, plots and films."""
