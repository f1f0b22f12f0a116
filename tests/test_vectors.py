"""Flat vectors and back, and conjugate gradient: its solution, the residual, how many products it takes."""

import numpy as np
import torch
from byhand import relative_error
from torch import Tensor
from torch.func import vmap

from metarl.vectors import conjugate_gradient, flatten, inner, quotient, unflatten


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
    assert not conjugate_gradient(lambda v: matrix @ v, torch.zeros(12).double(), steps=5)[0].any()


def test_a_tolerance_saves_the_products_that_are_not_needed() -> None:
    matrix, target = torch.diag(torch.tensor([1.0, 2.0, 4.0])).double(), torch.ones(3).double()
    calls: list[Tensor] = []

    def product(vector: Tensor) -> Tensor:
        calls.append(vector)
        return matrix @ vector

    found, residual = conjugate_gradient(product, target, steps=9, tolerance=1e-20)
    assert len(calls) == 3  # as many as the matrix has eigenvalues
    assert relative_error(found, torch.tensor([1.0, 0.5, 0.25]).double()) < 1e-12
    assert residual @ residual < 1e-20
    calls.clear()
    found, _ = conjugate_gradient(product, 1e-9 * target, steps=9, tolerance=1e-10)  # below it from the beginning
    assert len(calls) == 1
    assert relative_error(1e9 * found, 3 / 7 * target) < 1e-12  # a step along the target, of length |b|²/bᵀAb
    calls.clear()
    conjugate_gradient(product, target, steps=9)
    assert len(calls) == 9


def test_it_solves_many_systems_at_once_and_stays_at_the_solution() -> None:
    torch.manual_seed(0)
    roots = torch.randn(4, 5, 5).double()
    matrices, targets = roots @ roots.mT + torch.eye(5).double(), torch.randn(4, 5).double()
    targets[2] = 0  # quotients of 0 by 0
    exact = torch.linalg.solve(matrices, targets)

    def solved(steps: int) -> Tensor:
        return vmap(lambda matrix, target: conjugate_gradient(matrix.mv, target, steps=steps)[0])(matrices, targets)

    for steps in (5, 60):
        assert relative_error(solved(steps), exact) < 1e-9
    assert relative_error(solved(3), exact) > 1e-3
    assert not solved(60)[2].any()


def test_a_tree_as_a_vector_and_back() -> None:
    tree = {"b": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "a": (torch.tensor(5.0), torch.tensor([6.0]))}
    vector = flatten(tree)
    assert vector.tolist() == [1, 2, 3, 4, 5, 6]  # in the tree's own order
    back = unflatten(2 * vector, tree)
    assert list(back) == ["b", "a"]
    assert torch.equal(back["b"], 2 * tree["b"])  # type: ignore[operator]
    assert [leaf.tolist() for leaf in back["a"]] == [10.0, [12.0]]


def test_a_quotient_by_zero_is_zero_and_so_is_its_gradient() -> None:
    a, b = torch.tensor([3.0, 0.0, 1.0]), torch.tensor([2.0, 0.0, 0.0], requires_grad=True)
    found = quotient(a, b)
    assert found.tolist() == [1.5, 0.0, 0.0]
    (slope,) = torch.autograd.grad(found.sum(), b)
    assert slope.tolist() == [-0.75, 0.0, 0.0]


def test_an_inner_product_is_the_same_on_any_number_of_threads() -> None:
    threads = torch.get_num_threads()
    try:
        for size in (1, 12_512, 200_000):  # 12,512: the policy 17-100-100-6; a @ b differs there
            rng = np.random.default_rng(size)
            a, b = (torch.from_numpy(rng.normal(size=size).astype(np.float32)) for _ in range(2))
            found = set()
            for count in (1, 2, 4):
                torch.set_num_threads(count)
                found.add(float(inner(a, b)))
            assert len(found) == 1
            exact = float(a.double().numpy() @ b.double().numpy())
            assert abs(found.pop() - exact) < 1e-6 * float(a.norm() * b.norm())
    finally:
        torch.set_num_threads(threads)
