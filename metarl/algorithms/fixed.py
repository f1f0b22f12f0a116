"""An outer loop that changes nothing: for baselines that have nothing to learn from training tasks."""

from __future__ import annotations

from metarl.algorithms.base import Algorithm, exclusive
from metarl.core import Episodes


class Fixed(Algorithm):
    """Leaves the learner as it is."""

    uses_query = False

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        return {}
