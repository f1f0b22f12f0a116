"""Run folders: logging, checkpoints, and resuming and loading a training run."""
