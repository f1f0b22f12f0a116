"""Several processes that train together: torchrun starts them, and `torch.distributed` carries what they exchange.

Each process has some of a meta-batch's tasks, as a contiguous range in the order of the processes. Whatever is random
is drawn for the whole meta-batch by every process. What they exchange is exchanged in the order of the tasks, and sums
are added up in that order, so that every process has the numbers that one process alone would have. All processes must
call the functions here in the same order. In one process they do nothing, and `torch.distributed` is not imported.
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
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets, from which processes find another
PATIENCE = timedelta(minutes=30)  # how long a process waits for the others in one exchange
BEAT, LINGER = 1.0, 5.0  # seconds between signs of life, and in which a process ends when another is lost
_working_alone: ContextVar[bool] = ContextVar("working_alone", default=False)


def count() -> int:
    """The number of processes that train together: 1 unless torchrun or its environment variables say otherwise."""
    together = not _working_alone.get() and all(name in os.environ for name in NEEDED)
    return int(os.environ["WORLD_SIZE"]) if together else 1


def rank() -> int:
    """The number of this process, 0 … `count()` − 1."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def first() -> bool:
    """Whether this is process 0, which alone writes files and prints."""
    return rank() == 0


def restarted() -> bool:
    """Whether torchrun has started this process again after a failure (`--max-restarts`)."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def rows(tasks: int, chunk: int | None) -> slice:
    """Which of a meta-batch's tasks are this process's. Raises ValueError if there are fewer tasks than processes.

    Parts of `chunk` tasks, which are differentiated together, go to one process as a whole, so that the numbers do not
    depend on the number of processes. Where there are fewer such parts than processes, the tasks are shared evenly.
    """
    if tasks < count():
        raise ValueError(f"{count()} processes share {tasks} tasks: start at most {tasks}, or give more tasks")
    size = chunk or tasks
    unit = size if -(-tasks // size) >= count() else 1
    units = -(-tasks // unit)
    begin, end = (min(tasks, unit * -(-units * r // count())) for r in (rank(), rank() + 1))
    return slice(begin, end)


def gather(value: Item) -> list[Item]:
    """The `value` of every process, in their order. It is pickled, so give small ones."""
    if count() == 1:
        return [value]
    found: list[Any] = [None] * count()
    with _all_there() as processes:
        processes.dist.all_gather_object(found, value)
    return found


def joined(items: Sequence[Item]) -> list[Item]:
    """The items of all processes, one after the other."""
    return [item for part in gather(list(items)) for item in part]


def of_all_tasks(values: Tensor) -> Tensor:
    """The rows of all tasks [T, …], from those of this process's tasks, [t, …]."""
    if count() == 1:
        return values
    import torch

    return torch.cat(gather(values.detach().cpu().clone())).to(values.device)


def add_in_order(totals: Sequence[Tensor], add: Callable[[], object]) -> None:
    """Let each process in turn `add` its terms to `totals`, in place; then all processes have the same totals.

    The terms are added in the order of the tasks, as one process does, and the result is the same to the last bit. Each
    process receives the totals once, sends them on, and the last one sends the result to all.
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


def by_first(work: Callable[[], Item]) -> Item:
    """Let process 0 do `work` by itself while the others wait, however long it takes; returns its result to all.

    What it raises is raised in all processes.
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
    """A context in which this process works as if there were no others."""
    token = _working_alone.set(True)
    try:
        yield
    finally:
        _working_alone.reset(token)


def refuse(what: str) -> None:
    """Raise ValueError if there are several processes: `what` runs in one."""
    if count() > 1:
        raise ValueError(f"{what} runs in one process, and {count()} were started: start it without torchrun")


def first_to_end() -> bool:
    """Whether this is the first process to report how it ends: if one fails, all end, and one message is enough."""
    if count() == 1:
        return True
    try:
        return bool(_store().add("ends", 1) == 1)
    except (RuntimeError, ValueError, OSError):  # nobody can be asked
        return True


class _Processes:
    """The connections to the other processes: gloo between CPUs, and nccl where each process has a GPU of its own."""

    def __init__(self) -> None:
        import torch
        import torch.distributed as dist

        if dist.is_initialized():
            raise ValueError("torch.distributed is initialised already: leave that to metarl, or start one process")
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
        """All numbers in one vector: on the GPU for nccl, on the CPU for gloo."""
        vector = self.torch.cat([total.detach().flatten() for total in totals])
        return vector if self._group(totals) else vector.cpu()

    def _unpack(self, message: Tensor, totals: Sequence[Tensor]) -> None:
        pieces = message.split([total.numel() for total in totals])
        with self.torch.no_grad():
            for total, piece in zip(totals, pieces, strict=True):
                total.copy_(piece.view_as(total))

    def beat(self) -> None:
        """Count, in a thread, the seconds that this process has lived, and end it if it stays after another was lost.

        A process that waits for one that is gone may not hear of it, as it waits for yet another.
        """
        with suppress(RuntimeError, OSError):  # at the end of the job nobody keeps the table any more
            while not self.store.check(["lost"]):
                self.store.add(f"beats/{rank()}", 1)
                time.sleep(BEAT)
            time.sleep(LINGER)
            os._exit(2)

    def lost(self) -> str:
        """Say which processes have ended, as the first one found that noticed it."""
        try:
            if not self.store.check(["lost"]):
                before = [self.store.add(f"beats/{r}", 0) for r in range(count())]
                time.sleep(2.5 * BEAT)
                gone = [r for r in range(count()) if r != rank() and self.store.add(f"beats/{r}", 0) == before[r]]
                self.store.compare_set("lost", "", ", ".join(map(str, gone)))
            return str(self.store.get("lost").decode())
        except (RuntimeError, OSError):  # process 0 kept the table, as torchrun was not there to do so
            return ""


@cache
def _store() -> Any:
    """The table of keys and values that torchrun, or process 0, keeps for all processes."""
    import torch.distributed as dist

    with _reachable():
        return next(iter(dist.rendezvous("env://", rank(), count(), timeout=PATIENCE)))[0]


@cache
def _processes() -> _Processes:
    return _Processes()


@contextmanager
def _reachable() -> Iterator[None]:
    """Turn errors of connecting into one line."""
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
    """Turn the error of an exchange into one line that names the processes that have ended."""
    processes = _processes()
    try:
        yield processes
    except RuntimeError as error:
        if who := processes.lost():
            what = f"process {who} of 0 … {count() - 1} has ended, and so do the others"
        else:
            what = f"the processes have lost each other ({str(error).splitlines()[0]})"
        raise ConnectionError(f"{what}: start them again to go on from the newest checkpoint") from None


def _plain(error: BaseException) -> BaseException:
    """`error` if it can be sent to other processes, else its message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(str(error))
    return error
