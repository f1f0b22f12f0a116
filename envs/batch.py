"""The simulations of a `MujocoWorld`: a native batch whose models may be changed, and which works after a fork."""

import ctypes
import os
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import mujoco.batch
import numpy as np

from metarl.envs.contacts import GEOM_FIELDS, UNLISTED, cannot_change, follow_geoms, listed_pairs, pair_fields


def fork_safe(name: str) -> Callable[..., Any]:
    """The method `name` of MuJoCo's batch, for `Batch`: it updates listed contacts, and works in child processes."""
    method = getattr(mujoco.batch.Batch, name)

    @wraps(method)
    def call(self: "Batch", *args: Any, **kwargs: Any) -> Any:
        if self.usable:
            if self.geoms:
                self.follow()
            return method(self, *args, **kwargs)
        substitute = self.substitute()
        for mine, theirs in zip(self.arrays(), substitute.arrays(), strict=True):
            theirs[...] = mine
        try:
            return getattr(substitute, name)(*args, **kwargs)
        finally:
            for mine, theirs in zip(self.arrays(), substitute.arrays(), strict=True):
                mine[...] = theirs

    return call


class Batch(mujoco.batch.Batch):
    """A `mujoco.batch.Batch` for models with listed contacts (`metarl.envs.contacts`), which can be used after a fork.

    Parameters of listed contacts follow the geoms: changes of a compiled model, of `expand("geom_friction")` and
    similar fields, of `geom("floor").friction` and by `set_models` have the same effect as if MuJoCo searched for
    contacts. Raises ValueError for changes that listed contacts cannot follow.

    In a forked child process, MuJoCo's batch would wait for its threads, which do not exist there. Calls then use a
    substitute with its own threads, to and from which all arrays are copied, so that views of them remain valid.
    """

    def __init__(self, model: mujoco.MjModel, nsim: int, nthread: int) -> None:
        follow_geoms(model)
        super().__init__(model, nsim, nthread)
        self.pairs = listed_pairs(model)
        self.geoms: set[str] = set()  # fields of geoms with separate values for each simulation, which pairs follow
        self._followed: dict[str, np.ndarray] = {}  # the values of the geoms' fields in the last update of the pairs
        self._fields: dict[tuple[str, str], np.ndarray] = {}  # arrays that are not part of the state, by method, name
        self._process, self._substitute = os.getpid(), cast("Batch | None", None)
        _made.add(self)

    step, forward, reset = fork_safe("step"), fork_safe("forward"), fork_safe("reset")
    rollout, set_const, get_model = fork_safe("rollout"), fork_safe("set_const"), fork_safe("get_model")
    jac, ray = fork_safe("jac"), fork_safe("ray")

    def bind(self, name: str) -> np.ndarray:
        values = super().bind(name)
        self._fields.setdefault(("bind", name), values)
        return values

    def expand(self, name: str) -> np.ndarray:
        if len(self.pairs):
            if name in UNLISTED:
                raise ValueError(cannot_change(name))
            if name in FOLLOWED:
                raise ValueError(f"{name} follows the geoms, because contacts are listed: expand {FOLLOWED[name]}")
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
        self._substitute = None

    def follow(self) -> None:
        """Update the parameters of listed pairs in all simulations if those of the geoms have changed."""
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
    def usable(self) -> bool:
        """Whether MuJoCo's batch can be used in this process."""
        return self._process == os.getpid() or self.nthread == 1

    def substitute(self) -> "Batch":
        """A batch with the same models and fields that can be used in this process."""
        if self._substitute is None or not self._substitute.usable:
            self._substitute = Batch(self.model, self.nsim, self.nthread)
            self._substitute.set_models(self.models)
            for name in mujoco.batch.MODEL_FIELDS:
                if (values := self.expanded(name)) is not None:
                    mujoco.batch.Batch.expand(self._substitute, name)[...] = values
        for method, name in self._fields:
            getattr(self._substitute, method)(name)
        return self._substitute

    def arrays(self) -> list[np.ndarray]:
        """All arrays of which callers may have views, as writable arrays."""
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


def _keep_batches_of_parent() -> None:
    """Never delete the batches of the parent in this child process, because that would wait for missing threads."""
    for batch in _made:
        if not batch.usable:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(batch))


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_keep_batches_of_parent)
