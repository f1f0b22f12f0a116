"""Conjugate gradient: it solves a system in as many products as allowed, and says what is left."""

import numpy as np
import torch
from byhand import relative_error
from torch import Tensor

from metarl.algorithms.trust_region import conjugate_gradient


def test_conjugate_gradient_solves_a_positive_definite_system() -> None:
    rng = np.random.default_rng(0)
    root = torch.from_numpy(rng.normal(size=(12, 12)))
    matrix, target = root @ root.T + torch.eye(12), torch.from_numpy(rng.normal(size=12))
    kept = target.clone()
    solution = torch.linalg.solve(matrix, target)
    found, _ = conjugate_gradient(lambda v: matrix @ v, target, steps=30, tolerance=1e-24)
    assert relative_error(found, solution) < 1e-10
    assert torch.equal(target, kept)
    calls: list[Tensor] = []
    rough, residual = conjugate_gradient(lambda v: calls.append(v) or matrix @ v, target, steps=4)  # type: ignore[func-returns-value]
    assert len(calls) == 4
    assert relative_error(residual, target - matrix @ rough) < 1e-10
    errors = [float((x - solution) @ matrix @ (x - solution)) for x in (torch.zeros(12), rough, found)]
    assert errors[0] > errors[1] > errors[2]  # each step lowers the error in the matrix's norm
    assert not conjugate_gradient(lambda v: matrix @ v, torch.zeros(12), steps=5)[0].any()
