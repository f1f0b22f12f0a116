"""Several processes that train together: torchrun starts them, and they communicate by `torch.distributed`.

The tasks of a meta-batch are divided among the processes into contiguous ranges, in the order of the ranks. Every
process draws the random numbers of all tasks, and sums are added up in the order of the tasks, so that all processes
have the same numbers as a single process would have. All processes must call the functions of this module in the same
order. In a single process the functions do nothing, and `torch.distributed` is not imported.
"""

from __future__ import annotations

import itertools
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # the command line imports this module, and torch is slow to import
    from torch import Tensor

Item = TypeVar("Item")
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun, for processes to find each other
PATIENCE = timedelta(minutes=30)  # how long a process waits for the others in one exchange
BEAT = 1.0  # seconds between the signs of life of a process
LINGER = 5.0  # seconds after which a process ends itself when another one is lost
_working_alone: ContextVar[bool] = ContextVar("working_alone", default=False)


def count() -> int:
    """The number of processes that train together: 1 unless the environment variables of torchrun are set."""
    together = not _working_alone.get() and all(name in os.environ for name in NEEDED)
    return int(os.environ["WORLD_SIZE"]) if together else 1


def rank() -> int:
    """The rank of this process, 0 … `count()` − 1."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def first() -> bool:
    """Whether this is process 0, the only one that writes files and prints."""
    return rank() == 0


def restarted() -> bool:
    """Whether torchrun has started this process again after a failure (`--max-restarts`)."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def rows(tasks: int, chunk: int | None) -> slice:
    """The tasks of a meta-batch that this process computes. Raises ValueError if there are fewer tasks than processes.

    Parts of `chunk` tasks, which are differentiated together, are not divided among processes, so that results do not
    depend on the number of processes. If there are fewer such parts than processes, the tasks are divided evenly.
    """
    if tasks < count():
        raise ValueError(f"{count()} processes share {tasks} tasks: start at most {tasks}, or give more tasks")
    size = chunk or tasks
    unit = size if -(-tasks // size) >= count() else 1
    units = -(-tasks // unit)
    begin, end = (min(tasks, unit * -(-units * r // count())) for r in (rank(), rank() + 1))
    return slice(begin, end)


def gather(value: Item) -> list[Item]:
    """The `value` of every process, in the order of the ranks. Values are pickled, so they should be small."""
    if count() == 1:
        return [value]
    found: list[Any] = [None] * count()
    with _all_there() as processes:
        processes.dist.all_gather_object(found, value)
    return found


def joined(items: Sequence[Item]) -> list[Item]:
    """The items of all processes, concatenated in the order of the ranks."""
    return [item for part in gather(list(items)) for item in part]


def of_all_tasks(values: Tensor) -> Tensor:
    """The values of all tasks [T, …], where `values` [t, …] are those of this process's tasks."""
    if count() == 1:
        return values
    import torch

    return torch.cat(gather(values.detach().cpu().clone())).to(values.device)


def add_in_order(totals: Sequence[Tensor], add: Callable[[], object]) -> None:
    """Sum over processes: each one in turn calls `add`, which adds its terms to `totals` in place; all get the totals.

    Terms are added in the order of the tasks, as in a single process, and the result is the same to the last bit. Each
    process receives the totals from the one before it and sends them on; the last one broadcasts the result.
    """
    if count() == 1:
        add()
        return
    with _all_there() as processes:
        me, last = rank(), count() - 1
        if me:
            processes.receive(totals, me - 1)
    add()
    with _all_there() as processes:
        if me < last:
            processes.send(totals, me + 1)
        processes.broadcast(totals, last)


def run_on_first(work: Callable[[], Item]) -> Item:
    """Call `work` in process 0 alone and return its result in all processes, which wait for it without a time limit.

    An exception in `work` is raised in all processes.
    """
    if count() == 1:
        return work()
    store, key = _processes().store, f"work/{next(_processes().numbers)}"
    answer: tuple[Any, BaseException | None]
    if first():
        try:
            with alone():
                answer = work(), None
        except BaseException as error:
            store.set(key, pickle.dumps((None, _plain(error))))
            raise
        store.set(key, pickle.dumps(answer))
        return answer[0]
    with _all_there():
        while not store.check([key]):
            time.sleep(0.02)
        answer = pickle.loads(store.get(key))
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


@contextmanager
def alone() -> Iterator[None]:
    """In this context, this process computes as if it were the only one."""
    token = _working_alone.set(True)
    try:
        yield
    finally:
        _working_alone.reset(token)


def refuse(what: str) -> None:
    """Raise ValueError, which mentions `what`, if there are several processes."""
    if count() > 1:
        raise ValueError(f"{what} runs in one process, and {count()} were started: start it without torchrun")


def first_to_end() -> bool:
    """Whether this process is the first to end with an error. If one fails, all end, but only the first prints why."""
    if count() == 1:
        return True
    try:
        return bool(_store().add("ends", 1) == 1)
    except (RuntimeError, ValueError, OSError):  # the table of all processes cannot be reached
        return True


class _Processes:
    """The connections to the other processes: gloo between CPUs, and nccl where each process has a GPU of its own."""

    def __init__(self) -> None:
        import torch
        import torch.distributed as dist

        if dist.is_initialized():
            raise ValueError("torch.distributed is already initialised: leave this to metarl, or start one process")
        self.torch, self.dist, self.store, self.numbers = torch, dist, _store(), itertools.count()
        with _reachable():
            dist.init_process_group("gloo", store=self.store, rank=rank(), world_size=count(), timeout=PATIENCE)
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        found: list[Any] = [None] * count()
        dist.all_gather_object(found, gpus >= int(os.environ.get("LOCAL_WORLD_SIZE", count())))
        self.nccl = dist.new_group(backend="nccl") if all(found) else None
        threading.Thread(target=self.beat, daemon=True).start()

    def send(self, totals: Sequence[Tensor], to: int) -> None:
        self.dist.send(self._message(totals), to, group=self._group(totals))

    def receive(self, totals: Sequence[Tensor], source: int) -> None:
        message = self._message(totals)
        self.dist.recv(message, source, group=self._group(totals))
        self._unpack(message, totals)

    def broadcast(self, totals: Sequence[Tensor], source: int) -> None:
        message = self._message(totals)
        self.dist.broadcast(message, source, group=self._group(totals))
        self._unpack(message, totals)

    def _group(self, totals: Sequence[Tensor]) -> Any:
        return self.nccl if totals[0].is_cuda else None

    def _message(self, totals: Sequence[Tensor]) -> Tensor:
        """All numbers of `totals` in one vector, on the GPU for nccl and on the CPU for gloo."""
        vector = self.torch.cat([total.detach().flatten() for total in totals])
        return vector if self._group(totals) else vector.cpu()

    def _unpack(self, message: Tensor, totals: Sequence[Tensor]) -> None:
        pieces = message.split([total.numel() for total in totals])
        with self.torch.no_grad():
            for total, piece in zip(totals, pieces, strict=True):
                total.copy_(piece.view_as(total))

    def beat(self) -> None:
        """Send signs of life, in a thread, and end this process some seconds after another one has been lost.

        A process may not notice that another one is lost, because it waits for a message from a third one.
        """
        with suppress(RuntimeError, OSError):  # at the end of training the table no longer exists
            while not self.store.check(["lost"]):
                self.store.add(f"beats/{rank()}", 1)
                time.sleep(BEAT)
            time.sleep(LINGER)
            os._exit(2)

    def lost(self) -> str:
        """The ranks of the processes that have ended, as the first process that noticed it determines them."""
        try:
            if not self.store.check(["lost"]):
                before = [self.store.add(f"beats/{r}", 0) for r in range(count())]
                time.sleep(2.5 * BEAT)
                gone = [r for r in range(count()) if r != rank() and self.store.add(f"beats/{r}", 0) == before[r]]
                self.store.compare_set("lost", "", ", ".join(map(str, gone)))
            return str(self.store.get("lost").decode())
        except (RuntimeError, OSError):  # process 0 had the table, because torchrun did not start it
            return ""


@cache
def _store() -> Any:
    """The table of keys and values of all processes, which torchrun or process 0 keeps."""
    import torch.distributed as dist

    with _reachable():
        return next(iter(dist.rendezvous("env://", rank(), count(), timeout=PATIENCE)))[0]


@cache
def _processes() -> _Processes:
    return _Processes()


@contextmanager
def _reachable() -> Iterator[None]:
    """Turn errors of connections in this context into a ConnectionError of one line."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        reason = "the port is in use" if "EADDRINUSE" in str(error) else str(error).splitlines()[0]
        raise ConnectionError(
            f"process {rank()} cannot join the others at {where} ({reason}): give torchrun another --master-port"
        ) from None


@contextmanager
def _all_there() -> Iterator[_Processes]:
    """Turn errors of exchanges in this context into a ConnectionError that names the processes that have ended."""
    processes = _processes()
    try:
        yield processes
    except RuntimeError as error:
        if who := processes.lost():
            what = f"process {who} of 0 … {count() - 1} has ended, and the others end with it"
        else:
            what = f"the connection between the processes is lost ({str(error).splitlines()[0]})"
        raise ConnectionError(f"{what}: start them again to continue from the newest checkpoint") from None


def _plain(error: BaseException) -> BaseException:
    """`error` if it can be pickled, otherwise a RuntimeError with its message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(str(error))
    return error
