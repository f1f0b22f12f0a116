"""Pickles are read for their arrays, in every spelling, and never executed."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pickle_fuzz import fuzz, hostile
from python2_pickles import PYTHON_2

from metarl.tasks.datasets.pickles import read_arrays


class Calls:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def saved(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("core", [b"numpy.core.", b"numpy._core."], ids=["old", "new"])
def test_arrays_of_every_protocol_and_spelling(tmp_path: Path, protocol: int, core: bytes) -> None:
    images = np.arange(2 * 3, dtype=np.uint8).reshape(2, 3) + 250
    classes = OrderedDict(a=[0, np.int64(2)], b=np.array([1, 3]))
    content = pickle.dumps({"image_data": images, "class_dict": classes, "fortran": images.T}, protocol)
    assert b"numpy._core." in content
    found = read_arrays(saved(tmp_path, respelt(content, core)))
    assert [*found] == ["image_data", "class_dict", "fortran"]
    assert found["image_data"].dtype == np.uint8
    assert (found["image_data"] == images).all()
    assert (found["fortran"] == images.T).all()
    assert found["class_dict"]["a"] == [0, 2]
    assert found["class_dict"]["b"].tolist() == [1, 3]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["?", "u1", "<i2", ">i4", "<u8", "<f2", ">f8"])
def test_plain_numbers_keep_type_order_and_shape(tmp_path: Path, kind: str, protocol: int) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    arrays = [array, array.T, array.transpose(1, 0, 2), array[:, ::2], array[:0], array[0, 0, 0].reshape(())]
    scalars = [array[1, 2, 3], np.str_("n01"), np.bytes_(b"n01")]
    found = read_arrays(saved(tmp_path, pickle.dumps([arrays, scalars], protocol)))
    for expected, got in zip(arrays, found[0], strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected, strict=True)
        assert not got.flags.writeable or not got.size
    assert found[1] == [scalars[0], "n01", "n01"]


@pytest.mark.parametrize("content", PYTHON_2)
def test_what_python_2_wrote(tmp_path: Path, content: bytes) -> None:
    found = read_arrays(saved(tmp_path, content))
    assert found["image_data"].tolist() == [[200, 7], [10, 39]]
    assert found["image_data"].dtype == np.uint8
    assert found["class_dict"]["n1"] == [0, 2, 3]
    assert found["class_dict"]["n2"] is found["image_data"]


def test_plain_values_of_every_protocol(tmp_path: Path) -> None:
    value = {
        "ints": [0, 255, 65535, -1, 2**31, -(2**31), 2**70, -(2**200)], "floats": (0.5, -1e300), "nothing": None,
        "flags": (True, False), "texts": ["", "é\n\\ ", "x" * 300, "😀"], "bytes": [b"", b"\xff" * 300],
        "nested": [[], (), {}, ((1, 2, 3, 4), [{"a": ()}])],
    }  # fmt: skip
    for protocol in range(6):
        assert read_arrays(saved(tmp_path, pickle.dumps(value, protocol))) == value


def test_hostile_pickles_neither_crash_nor_hang(tmp_path: Path) -> None:
    count = int(os.environ.get("METARL_FUZZ", "300"))
    found = fuzz(count, 0)
    assert found.total() == count
    assert 0 < found["read"] < found["refused"]


def test_the_types_of_objects_are_refused_before_numpy_sees_them(tmp_path: Path) -> None:
    messages = []
    for content in hostile():
        with pytest.raises(ValueError, match=r"cannot read .*x.pkl \(.+\): get the file again") as error:
            read_arrays(saved(tmp_path, content))
        messages.append(str(error.value))
    assert "calls an object that is not a function" in messages[0]  # numpy.ndarray
    assert all("numbers of the type 'O8', which is not supported" in message for message in messages[1:3])
    assert all(len(message) < 300 for message in messages)


def respelt(content: bytes, core: bytes) -> bytes:
    """A pickle with its modules named as NumPy 1 or 2 names them."""
    for module in (b"multiarray", b"numeric"):
        old = b"numpy._core." + module
        new = core + module
        content = content.replace(b"c" + old + b"\n", b"c" + new + b"\n")  # GLOBAL
        content = content.replace(b"\x8c" + bytes([len(old)]) + old, b"\x8c" + bytes([len(new)]) + new)  # strings
    start = content.find(b"\x95")
    if content[:2] >= b"\x80\x04" and start == 2:  # the frame of protocols 4 and 5 tells its length
        content = content[:3] + (len(content) - 11).to_bytes(8, "little") + content[11:]
    return content


def test_a_cache_of_python_2(tmp_path: Path) -> None:
    # {'a': np.array([200, 7], np.uint8)} as Python 2 and NumPy 1 write it by protocol 2: str for bytes
    content = (
        b"\x80\x02}q\x00U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04"
        b"U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02\x85q\x08cnumpy\ndtype\nq\x09U\x02u1q\x0aK\x00K\x01\x87q\x0bRq\x0c"
        b"(K\x03U\x01|q\x0dNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x02\xc8\x07q\x0ftq\x10bs."
    )
    found = read_arrays(saved(tmp_path, content))
    assert [*found] == ["a"]
    assert (found["a"].dtype, found["a"].tolist()) == (np.uint8, [200, 7])


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "args"),
    [
        (os.mkdir, ("{target}",)),
        (os.system, ("mkdir {target}",)),
        (eval, ("__import__('os').mkdir('{target}')",)),
        (exec, ("import os; os.mkdir('{target}')",)),
        (getattr, (os, "mkdir")),
        (np.fromfile, ("{target}",)),
        (np.save, ("{target}", 1)),
    ],
    ids=["mkdir", "system", "eval", "exec", "getattr", "fromfile", "save"],
)
def test_nothing_is_executed(tmp_path: Path, protocol: int, function: Any, args: tuple[Any, ...]) -> None:
    target = tmp_path / "made"
    args = tuple(arg.format(target=target) if isinstance(arg, str) else "os" for arg in args)
    content = pickle.dumps({"image_data": np.zeros(3, np.uint8), "class_dict": Calls(function, *args)}, protocol)
    with pytest.raises(ValueError, match=r"cannot read .*x.pkl \(it refers to .*, which is not an array\)") as error:
        read_arrays(saved(tmp_path, content))
    assert "\n" not in str(error.value)
    assert not [path for path in tmp_path.iterdir() if path.name != "x.pkl"]


def test_names_below_an_allowed_one_are_refused(tmp_path: Path) -> None:
    for content in (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", b"cnumpy\nload\n.", b"c_codecs\nlookup\n."):
        with pytest.raises(ValueError, match="which is not an array"):
            read_arrays(saved(tmp_path, content))


def test_encodings_are_not_looked_up(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bytes in the encoding 'rot13'"):
        read_arrays(saved(tmp_path, b"c_codecs\nencode\n(Vabc\nVrot13\ntR."))
    assert read_arrays(saved(tmp_path, b"c_codecs\nencode\n(Vab\xff\nVlatin1\ntR.")) == b"ab\xff"


def test_damaged_pickles_are_refused(tmp_path: Path) -> None:
    whole = pickle.dumps({"image_data": np.zeros(300, np.uint8)})
    for content in (b"", whole[:-200], b"\x00\x01\x02", whole[:40] + b"\xff" + whole[41:]):
        with pytest.raises(ValueError, match=r"cannot read .*x.pkl \(.+\): get the file again") as error:
            read_arrays(saved(tmp_path, content))
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"none.pkl does not exist: restore it"):
        read_arrays(tmp_path / "none.pkl")
