"""Run folders: training that is logged, saved, resumed and loaded."""
