"""The simulations of a `MujocoWorld`: one native batch, true to what a caller changes in it and after a fork."""

import ctypes
import os
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import mujoco.batch
import numpy as np

from metarl.envs.lean import GEOM_FIELDS, UNLISTED, follow_geoms, listed_pairs, pair_fields, unlisted


def anywhere(name: str) -> Callable[..., Any]:
    """The method `name` of MuJoCo's batch, for `Batch`."""
    method = getattr(mujoco.batch.Batch, name)

    @wraps(method)
    def call(self: "Batch", *args: Any, **kwargs: Any) -> Any:
        if self.at_home:
            if self.geoms:
                self.follow()
            return method(self, *args, **kwargs)
        twin = self.twin()
        for mine, theirs in zip(self.arrays(), twin.arrays(), strict=True):
            theirs[...] = mine
        try:
            return getattr(twin, name)(*args, **kwargs)
        finally:
            for mine, theirs in zip(self.arrays(), twin.arrays(), strict=True):
                mine[...] = theirs

    return call


class Batch(mujoco.batch.Batch):
    """A `mujoco.batch.Batch` that `metarl.envs.lean.list_contacts` does not change, and that outlives a fork.

    Listed pairs follow their geoms: a model that was changed after it was compiled, `expand("geom_friction")` and its
    like, `geom("floor").friction = …` and `set_models` act as where MuJoCo searches for contacts. What pairs cannot
    follow is refused.

    In a child process, where a batch has no threads and would wait for them, calls run in a twin with threads of its
    own, between a copy of all arrays there and back: views of them, wherever they are held, stay true.
    """

    def __init__(self, model: mujoco.MjModel, nsim: int, nthread: int) -> None:
        follow_geoms(model)
        super().__init__(model, nsim, nthread)
        self.pairs = listed_pairs(model)
        self.geoms: set[str] = set()  # fields of geoms that have values for each simulation and that pairs follow
        self._followed: dict[str, np.ndarray] = {}  # what the pairs have been given
        self._fields: dict[tuple[str, str], np.ndarray] = {}  # arrays that are not state, by method and name
        self._process, self._twin = os.getpid(), cast("Batch | None", None)
        _made.add(self)

    step, forward, reset = anywhere("step"), anywhere("forward"), anywhere("reset")
    rollout, set_const, get_model = anywhere("rollout"), anywhere("set_const"), anywhere("get_model")
    jac, ray = anywhere("jac"), anywhere("ray")

    def bind(self, name: str) -> np.ndarray:
        values = super().bind(name)
        self._fields.setdefault(("bind", name), values)
        return values

    def expand(self, name: str) -> np.ndarray:
        if len(self.pairs):
            if name in UNLISTED:
                raise ValueError(unlisted(name))
            if name in FOLLOWED:
                raise ValueError(f"{name} follows the geoms where contacts are listed: expand {FOLLOWED[name]}")
            if name in GEOM_FIELDS:
                self.geoms.add(name)
        values = super().expand(name)
        self._fields.setdefault(("expand", name), values)
        return values

    def set_models(self, models: Any) -> None:
        if models is not None and not isinstance(models, mujoco.MjModel):
            models = list(models)
        for model in [models] if isinstance(models, mujoco.MjModel) else models or ():
            follow_geoms(model)
        super().set_models(models)
        self._twin = None

    def follow(self) -> None:
        """Give each simulation's listed pairs what its geoms say, where that has changed."""
        model, one, other = self.model, self.model.pair_geom1[self.pairs], self.model.pair_geom2[self.pairs]
        geoms = {
            name: super(Batch, self).expand(name) if name in self.geoms else getattr(model, name)[None]
            for name in GEOM_FIELDS
        }
        if self._followed and all(np.array_equal(geoms[name], self._followed[name]) for name in GEOM_FIELDS):
            return
        self._followed = {name: values.copy() for name, values in geoms.items()}
        for name, values in pair_fields(geoms, one, other).items():
            super().expand(name)[:, self.pairs] = values

    @property
    def at_home(self) -> bool:
        """Whether this is a process where the batch can run."""
        return self._process == os.getpid() or self.nthread == 1

    def twin(self) -> "Batch":
        """A batch of this process with the same model and the same fields."""
        if self._twin is None or not self._twin.at_home:
            self._twin = Batch(self.model, self.nsim, self.nthread)
            self._twin.set_models(self.models)
            for name in mujoco.batch.MODEL_FIELDS:
                if (values := self.expanded(name)) is not None:
                    mujoco.batch.Batch.expand(self._twin, name)[...] = values
        for method, name in self._fields:
            getattr(self._twin, method)(name)
        return self._twin

    def arrays(self) -> list[np.ndarray]:
        """All arrays that callers may have views of, writable."""
        return [self.state, self.warning, *map(_writable, self._fields.values())]


FOLLOWED = {
    "pair_dim": "geom_condim", "pair_friction": "geom_friction", "pair_solref": "geom_solref",
    "pair_solimp": "geom_solimp", "pair_margin": "geom_margin", "pair_gap": "geom_gap",
}  # fmt: skip


def _writable(values: np.ndarray) -> np.ndarray:
    alias = values.view()
    alias.flags.writeable = True
    return alias


_made: weakref.WeakSet[Batch] = weakref.WeakSet()


def _keep() -> None:
    """Keep a parent's batches for good in its child: their end would wait for threads that are not here."""
    for batch in _made:
        if not batch.at_home:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(batch))


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_keep)
