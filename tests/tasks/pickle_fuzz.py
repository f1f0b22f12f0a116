"""Hostile and damaged pickles for the reader of pickled arrays, many of them, in a process of their own.

`fuzz(count, seed)` is for tests; run as a program, with the same two numbers, this is the process.
"""

from __future__ import annotations

import json
import pickle
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from python2_pickles import PYTHON_2

from metarl.tasks.datasets.miniimagenet import from_pickle
from metarl.tasks.datasets.pickles import read_arrays

SECONDS = 5  # of the processor's time one pickle may take; it takes a fraction of a millisecond
PATIENCE = 60  # seconds that it may take where others keep the processors busy
MEGABYTES = 300  # the process may grow by; some of them let NumPy and PIL load more of themselves


def fuzz(count: int, seed: int) -> Counter[str]:
    """How many of `count` pickles are "read" and "refused". Raises AssertionError for a crash, a hang, much memory, and
    an error that is no ValueError of one line."""
    command = [sys.executable, "-X", "faulthandler", __file__, str(count), str(seed)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300 + count / 10, cwd=Path(__file__).parent, check=False
    )
    assert done.returncode == 0, f"seed {seed}: exit status {done.returncode}\n{done.stderr[-3000:]}"
    return Counter(json.loads(done.stdout))


def pickles(count: int, seed: int) -> Iterator[bytes]:
    """Hand-made hostile ones first, then mutations of them and of good ones."""
    rng = random.Random(seed)
    good, bad = [*seeds()], [*hostile()]
    yield from bad[:count]
    for _ in range(count - len(bad)):
        content = rng.choice(good if rng.random() < 0.8 else bad)
        for _ in range(rng.choice([1, 1, 2, 4])):
            content = mutated(content[:100_000], rng, good)
        yield content


def seeds() -> Iterator[bytes]:
    """Good pickles: every protocol, of Python 2 and 3, of a cache and of other arrays."""
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    cache = {"class_dict": {"a": [0], "b": np.array([1])}, "image_data": np.zeros((2, 84, 84, 3), np.uint8)}
    others = [images.T, images.transpose(1, 0, 2), np.float32(2), np.str_("n01"), OrderedDict(a=images > 3)]
    for protocol in range(6):
        yield pickle.dumps(cache, protocol)
        yield pickle.dumps({"image_data": images, "class_dict": others}, protocol)
    yield from PYTHON_2


def mutated(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """One change of `content`."""
    at = rng.randrange(len(content) + 1)
    other = rng.choice(others)
    start = rng.randrange(len(other))
    match rng.randrange(8):
        case 0 | 1:
            flipped = bytearray(content)
            for place in (rng.randrange(len(content)) for _ in range(rng.randint(1, 4) if content else 0)):
                flipped[place] ^= 1 << rng.randrange(8)
            return bytes(flipped)
        case 2:
            return content[:at]
        case 3:
            return content[:at] + other[start : start + rng.randint(1, 60)] + content[at:]
        case 4:
            return content[:at] + bytes([rng.choice(OPCODES)]) + content[at + rng.randint(0, 1) :]
        case 5:
            return content[:at] + content[at + rng.randint(1, 30) :]
        case 6:
            return content[:at] + rng.choice(EXTREMES) + content[at + rng.choice([0, 1, 4, 8]) :]
        case _:
            return content[:at] + content[max(0, at - rng.randint(1, 60)) :]


OPCODES = b"".join(code for name, code in vars(pickle).items() if name.isupper() and isinstance(code, bytes))
EXTREMES = [b"\xff" * 4, b"\xff" * 8, b"\x00" * 8, b"\xff\xff\xff\x7f", struct.pack("<Q", 10**18), b"U\x02O8", b"O8"]


def hostile() -> Iterator[bytes]:
    """What someone would write who wants this process to crash, to hang, or to take all the memory."""
    address = struct.pack("<Q", 0x4141414141414141)
    raw = b"B" + struct.pack("<I", 8) + address
    object_type = b"cnumpy\ndtype\n(VO8\nI00\nI01\ntR"
    plain = b"cnumpy\ndtype\n(Vu1\nI00\nI01\ntR"
    yield b"cnumpy\nndarray\n((I1\nt" + plain + raw + b"tR."
    yield b"cnumpy\nndarray\n((I1\nt" + object_type + raw + b"tR."
    hidden = object_type + b"(I3\nV|\nNNNI8\nI8\nI0\ntb"  # whose flags say that it holds no objects
    objects = b"cnumpy._core.numeric\n_frombuffer\n(" + raw + hidden + b"(I1\ntVC\ntR"  # anywhere in memory
    images = pickle.dumps(np.zeros((1, 84, 84, 3), np.uint8), 5)[2:-1]
    yield b"}(Vimage_data\n" + images + b"Vclass_dict\n}Va\n" + objects + b"su."
    yield b"cnumpy\nndarray\n((I1\ntVO\n" + raw + b"tR."
    yield b"cnumpy._core.numeric\n_frombuffer\n(" + raw + object_type + b"(I1\ntVC\ntR."
    yield b"cnumpy._core.multiarray\nscalar\n(" + object_type + raw + b"tR."
    for state in (b"(I3\nV|\nNNNI8\nI8\nI63\nt", b"(I3\nV|\n(" + object_type + b"(I1\nttNNI8\nI8\nI63\nt"):
        yield b"cnumpy._core.numeric\n_frombuffer\n(" + raw + plain + state + b"b(I1\ntVC\ntR."  # a state with objects
    reconstructed = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR"
    for axes in (b"L1000000000000000000L\n", b"I-1\n", b"I4294967296\n" * 2, b"I1\n" * 99):
        shape = b"(" + axes + b"t"
        yield reconstructed + b"(I1\n" + shape + plain + b"I00\n" + raw + b"tb."
    yield reconstructed + b"(I1\n(I1\nt" + object_type + b"I00\n(lp0\nI7\natb."
    for huge in (10**18, 2**63 - 1, 2**64 - 1, 10**11):
        size = struct.pack("<Q", huge)
        yield from (code + size + b"x." for code in (b"\x8e", b"\x8d", b"\x96", b"\x80\x04\x95"))
    for code in b"BTX\x8bjr":  # sizes and places of four bytes
        yield b"]" + bytes([code]) + b"\xff\xff\xff\x7fI1\nb."
        yield b"]" + bytes([code]) + b"\xff\xff\xff\xffI1\nb."
    yield b"I" + b"9" * 1_000_000 + b"\n."
    yield b"]" * 300_000 + b"a" * 299_999 + b"I1\nb."  # nested deeply
    doubled = b")" + b"q\x00h\x00\x86" * 60
    yield b"}" + doubled + b"Ns."  # a key whose hash takes 2^60 steps
    yield b"cnumpy\ndtype\n(" + doubled + b"tR."
    yield b"cnumpy._core.numeric\n_frombuffer\n(C\x01a" + plain + b"(I1\ntVK\n(" + (doubled + b"\x85") * 2 + b"ttR."
    yield b"}(" + b"".join(b"\x8a\x11" + (k * (2**61 - 1)).to_bytes(17, "little") + b"N" for k in range(30_000)) + b"u."
    text = b"X" + struct.pack("<I", 1_000_000) + b"x" * 1_000_000 + b"q\x000"
    yield text + b"](" + b"c_codecs\nencode\n(h\x00Vlatin1\ntR" * 20_000 + b"e."  # 20 GB
    items = b"](" + b"".join(b"(VNAME%d\nNl" % i for i in range(10_000)) + b"eq\x00"
    yield items + b"](" + b"ccollections\nOrderedDict\n(h\x00tR" * 10_000 + b"e."  # dicts of 10^8 items
    for code in b"PQ\x82\x83\x84io\x81\x92\x8f\x91\x97\x98\x90":
        yield b"](" + bytes([code]) + b"os\nsystem\n."
    yield b"c_codecs\nencode\n}Vx\nNsb."  # the state of a function
    yield b"cnumpy\ndtype\n}V__setstate__\nNsb."


def main(count: int, seed: int) -> dict[str, int]:
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pkl"
        path.write_bytes(next(seeds()))
        read_arrays(path)
        before = memory()
        for i, content in enumerate(pickles(count, seed)):
            path.write_bytes(content)
            for read in (read_arrays, from_pickle):
                signal.alarm(PATIENCE)  # ends the process
                start = time.process_time()
                found[outcome(read, path)] += read is read_arrays
                signal.alarm(0)
                assert time.process_time() - start < SECONDS, f"pickle {i} takes {SECONDS} seconds: {content[:200]!r}"
            assert memory() - before < MEGABYTES, f"pickle {i} takes {memory() - before:.0f} MB: {content[:200]!r}"
    return +found


def outcome(read: Any, path: Path) -> str:
    try:
        read(path)
    except ValueError as error:
        message = str(error)
    else:
        return "read"
    assert str(path) in message
    assert len(message.splitlines()) == 1
    return "refused"


def memory() -> float:
    """The most that this process has ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
