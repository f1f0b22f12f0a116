"""An outer loop without updates, for baselines that do not learn from training tasks."""

from __future__ import annotations

from metarl.algorithms.base import Algorithm, exclusive
from metarl.core import Episodes


class Fixed(Algorithm):
    """An outer loop that leaves the learner unchanged."""

    uses_query = False

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        return {}
