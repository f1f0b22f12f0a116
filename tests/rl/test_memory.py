"""Memory of rollouts: reused only when nothing holds it, the same numbers whether staged for a device or not."""

import gc

import numpy as np
import pytest
import torch

from metarl.rl.memory import Memory, Recorder


def address(memory: Memory, shape: tuple[int, ...]) -> int:
    return int(memory.take(shape).ctypes.data)


def test_memory_comes_back_when_the_last_tensor_has_gone() -> None:
    memory = Memory()
    array = memory.take((4, 3))
    home = array.ctypes.data
    tensor = torch.from_numpy(array)
    part = tensor[1:, 0]
    del array, tensor
    gc.collect()
    part.fill_(7.0)
    other = memory.take((4, 3))
    assert other.ctypes.data != home  # a view of a tensor holds it
    other[:] = 0
    assert (part == 7).all()
    del part
    gc.collect()
    assert memory.take((4, 3)).ctypes.data == home
    assert address(memory, (3, 4)) != home  # another shape is another memory


def test_memory_held_at_once_is_never_shared() -> None:
    memory = Memory()
    arrays = [memory.take((5,)) for _ in range(4)]
    assert len({a.ctypes.data for a in arrays}) == 4


@pytest.mark.parametrize("horizon", [1, 5, 8, 19])
def test_a_staged_recording_is_the_same(horizon: int) -> None:
    rng = np.random.default_rng(0)
    written = rng.normal(size=(3, horizon, 2, 4)).astype(np.float32)
    found = []
    for staged in (False, True):
        record = Recorder(Memory(), 3, horizon, 2, device=torch.device("cpu"), staged=staged)
        wide, narrow = record.field(4), record.field()
        for t in range(horizon):
            wide[:, t], narrow[:, t] = written[:, t], written[:, t, :, 0]
            record.written(t + 1)
        found.append(record.tensors())
    for wide_, narrow_ in found:
        np.testing.assert_array_equal(wide_.numpy(), written)
        np.testing.assert_array_equal(narrow_.numpy(), written[..., 0])
        assert wide_.is_contiguous()


def test_a_block_is_staged_when_the_last_writer_has_it() -> None:
    written = np.random.default_rng(0).normal(size=(4, 9, 2)).astype(np.float32)
    record = Recorder(Memory(), 4, 9, 2, device=torch.device("cpu"), staged=True, writers=2)
    field = record.field()
    for part in (slice(2, 4), slice(0, 2)):  # one after the other: the first is far ahead
        for t in range(9):
            field[part, t] = written[part, t]
            record.written(t + 1, writer=int(part.start == 2))
    np.testing.assert_array_equal(record.tensors()[0].numpy(), written)
