"""Inner loops: how each method adapts to the support of a task."""
