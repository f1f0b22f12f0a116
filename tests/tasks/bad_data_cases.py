"""The table of damaged data folders; see bad_data."""

from __future__ import annotations

import os
import pickle
import posix

import numpy as np
from bad_data import (
    MINI,
    Case,
    Damage,
    bound,
    content,
    dangling,
    edited,
    forbidden,
    frames,
    header,
    instead,
    loop,
    mini_cache,
    of_mode,
    put,
    removed,
    sparse,
    zeros,
)  # fmt: skip
from pictures import png

IMAGE = "train/train-01/1.png"
UNREADABLE = r"cannot read the image .*/train-01/1\.png \(.+\): replace or remove it"
NO_FILE = r"/train-01/1\.png is {}, not a file"
VAL = "val.csv"
ROW = b"n00000064.png,n00000064\n"
ZIP = "images_background_small1.zip"
DRAWING = "images_background_small1/Greek/character01/07.png"


class Calls:
    """Pickles as a call."""

    def __reduce__(self) -> tuple[object, ...]:
        return posix.system, ("true",)


def folder(name: str, damage: Damage, message: str) -> Case:
    return Case(name, "folder", damage, message)


def csv(name: str, damage: Damage, message: str) -> Case:
    return Case(f"csv {name}", "csv", damage, message)


def image(name: str, of: bytes, message: str = UNREADABLE) -> Case:
    return Case(f"image {name}", "folder", content(IMAGE, of), message)


def cache(name: str, message: str, **change: object) -> Case:
    return Case(f"cache {name}", "pickle", lambda folder: put(folder, mini_cache(**change)), message)


def raw(name: str, of: object, message: str = r"cannot read .*cache-val.pkl \(.+\): get the file again") -> Case:
    return Case(f"cache {name}", "pickle", lambda folder: put(folder, of), message)


def rows(name: str, old: bytes, new: bytes, message: str) -> Case:
    return csv(name, edited(VAL, lambda text: text.replace(old, new)), message)


def flipped(text: bytes) -> bytes:
    middle = len(text) // 2
    return text[:middle] + bytes([text[middle] ^ 64]) + text[middle + 1 :]


WHOLE = png(1, size=64)
CACHE = pickle.dumps(mini_cache())
SHARED: list[object] = [0] * 1000
for _ in range(20):
    SHARED = [SHARED, SHARED]

IMAGES = [
    image("of 0 bytes", b""),
    image("that is text", b"hello"),
    image("that is zeros", bytes(5000)),
    image("cut", WHOLE[:-30]),
    image("with a flipped bit", flipped(WHOLE)),
    image("cut in its header", WHOLE[:20]),
    image("JPEG cut", of_mode("RGB", "jpeg")[:-200]),
    image("WebP cut", of_mode("RGB", "webp")[:-10]),
    image("GIF of 0 frames", of_mode("L", "gif")[:13] + b";"),
    image("that says it is a BMP", b"BM" + b"\xff" * 60),
    image("that says it is a TIFF", b"II*\0" + b"\xff" * 60),
    image("TIFF whose directory is itself", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"),
    image("of 13,000 pixels a side", header(13_000, 13_000), r"1\.png \(it has 13000 × 13000 pixels, and the limit is"),
    image("of 10^10 pixels", header(100_000, 100_000), UNREADABLE),
    image("of 10^18 pixels", header(10**9, 10**9), UNREADABLE),
    image("of 0 pixels", header(0, 0), UNREADABLE),
    image("animated GIF", frames("gif"), r"1\.png \(it has several frames\): replace"),
    image("animated PNG", frames("png"), r"1\.png \(it has several frames\): replace"),
    image("animated WebP", frames("webp"), r"1\.png \(it has several frames\): replace"),
    image("TIFF of pages", frames("tiff"), r"1\.png \(it has several frames\): replace"),
    image("of floats", of_mode("F", "tiff"), r"1\.png \(its pixels have 32 bits, .*\): replace"),
    image("of 32-bit integers", of_mode("I", "tiff"), r"1\.png \(its pixels have 32 bits, .*\): replace"),
    folder("image large and sparse", instead(IMAGE, sparse(1 << 40)), UNREADABLE),
    folder("image BMP, sparse", lambda data: (
        content(IMAGE, of_mode("RGB", "bmp"))(data), os.truncate(data / IMAGE, 1 << 38)), r"more than 200000000 bytes"),
    folder("image forbidden", forbidden(IMAGE), r"1\.png \(Permission denied\): replace"),
    folder("image a dangling link", instead(IMAGE, dangling), r"/train-01/1\.png is a broken link"),
    folder("image a link to itself", instead(IMAGE, loop), r"cannot read .*1\.png \(Too many levels"),
    folder("image a pipe", instead(IMAGE, os.mkfifo), NO_FILE.format("a pipe")),
    folder("image a socket", instead(IMAGE, bound), NO_FILE.format("a socket")),
    folder("image a device", instead(IMAGE, zeros), NO_FILE.format("a device")),
    folder("image a folder", instead(IMAGE, os.mkdir), NO_FILE.format("a folder")),
]  # fmt: skip

FOLDERS = [
    folder("class empty", instead("val/val-01", os.mkdir), r"/val/val-01 holds no images"),
    folder("class of text", lambda folder: (
        instead("val/val-01", os.mkdir)(folder), content("val/val-01/a.txt", b"")(folder)), r"val-01 holds no images"),
    folder("class a dangling link", instead("val/val-01", dangling), r"/val/val-01 is a broken link"),
    folder("class a link to itself", instead("val/val-01", loop), r"/val/val-01 is a broken link"),
    folder("class forbidden", forbidden("val/val-01"), r"folder .*/val-01 \(Permission denied\)"),
    folder("class in two splits", lambda folder: (folder / "val/train-02").mkdir(), r"class train-02 is in the"),
    folder("class a file", instead("test/test-01", lambda path: path.touch()), r"only 2 classes"),
    folder("class of one image", removed("test/test-01/1.png"), r"class test-01 has 1 images, but 1 shots"),
    folder("validation missing", removed("val"), r"no split 'validation' in /.*data: choose from train, test"),
    folder("validation empty", instead("val", os.mkdir), r"/val has no class folders"),
    folder("validation a file", instead("val", lambda path: path.touch()), r"no split 'validation' in"),
    folder("validation a pipe", instead("val", os.mkfifo), r"no split 'validation' in"),
    folder("validation a dangling link", instead("val", dangling), r"/val is a broken link"),
    folder("validation forbidden", forbidden("val"), r"folder .*/val \(Permission denied\)"),
    folder("validation twice", lambda folder: (folder / "valid").mkdir(), r"both .*/val and .*/valid exist"),
    folder("no splits, few classes", lambda folder: [removed("val")(folder), removed("test")(folder),
        (folder / "train").rename(folder / "birds")], r"birds holds no images"),
    folder("folder missing", removed("."), r"there is no folder /.*/data"),
    folder("folder a file", instead(".", lambda path: path.touch()), r"there is no folder /.*/data"),
    folder("folder a pipe", instead(".", os.mkfifo), r"there is no folder /.*/data"),
    folder("folder a dangling link", instead(".", dangling), r"/data is a broken link"),
    folder("folder forbidden", forbidden("."), r"folder /.*/data \(Permission denied\)"),
]  # fmt: skip

TABLES = [
    csv("missing", removed(VAL), r"val\.csv is missing: save it beside the other splits"),
    csv("a pipe", instead(VAL, os.mkfifo), r"val\.csv is a pipe, not a file"),
    csv("a folder", instead(VAL, os.mkdir), r"val\.csv is a folder, not a file"),
    csv("a dangling link", instead(VAL, dangling), r"val\.csv is a broken link"),
    csv("forbidden", forbidden(VAL), r"cannot read .*val\.csv \(Permission denied\)"),
    csv("empty", content(VAL, b""), r"val\.csv has no columns filename and label"),
    csv("of a header", content(VAL, b"filename,label\n"), r"val\.csv lists no images"),
    csv("in UTF-16", edited(VAL, lambda text: text.decode().encode("utf-16")), r"val\.csv \(it is not UTF-8 text\)"),
    rows("in Latin-1", ROW, b"caf\xe9.png,n00000064\n", r"cannot read .*val\.csv \(it is not UTF-8 text\)"),
    rows("with semicolons", b",", b";", r"val\.csv has no columns filename and label"),
    rows("with a NUL", ROW, ROW + b"\0\n", r"val\.csv (\(line contains NUL|has no file and label)"),
    rows("with an open quote", ROW, b'"' + ROW, r"cannot read .*val\.csv \(.+\)"),
    rows("with a short row", ROW, b"n00000064.png\n", r"row 2 of .*val\.csv has no file and label"),
    rows("with an empty label", ROW, b"n00000064.png,\n", r"row 2 of .*val\.csv has no file and label"),
    rows("with an absolute path", ROW, b"/etc/passwd,n00000064\n", r"row 2 of .*val\.csv has no file and label"),
    rows("with a path out of it", ROW, b"../x.png,n00000064\n", r"row 2 of .*val\.csv has no file and label"),
    rows("with a row twice", ROW, ROW * 2, r"val\.csv lists n00000064\.png twice"),
    rows("with an image in two classes", ROW, ROW + b"n00000064.png,n00000065\n", r"lists n00000064\.png twice"),
    rows("with another's class", b",n00000064", b",n00000001", r"class n00000001 is in"),
    rows("with too few classes", b",n00000064", b",n00000065", r"has 15 classes and miniImageNet's has 16"),
    rows("with a field of 200,000 letters", ROW, b"x" * 200_000 + b",n00000064\n", r"val\.csv \(field larger"),
    csv("names a missing image", removed("images/n00000070.png"), r"lists n00000070\.png, which is not at"),
    csv("names a pipe", instead("images/n00000070.png", os.mkfifo), r"n00000070\.png is a pipe, not a file"),
    csv("names a link to nothing", instead("images/n00000070.png", dangling), r"70\.png is a broken link"),
    csv("names a folder", instead("images/n00000070.png", os.mkdir), r"n00000070\.png is a folder, not a file"),
]  # fmt: skip

CACHES = [
    raw("cut", CACHE[:-1000]),
    raw("of 0 bytes", b""),
    raw("that is text", b"hello"),
    raw("with a flipped bit", CACHE.replace(b"u1", b"w1")),
    raw("that calls", mini_cache(more=Calls()), r"refers to posix\.system, which is not an array"),
    raw("of objects", mini_cache(more=np.array([None])), r"type 'O8', which is not supported"),
    raw("of records", mini_cache(more=np.zeros(1, "i4,f4")), r"which is not supported"),
    raw("of numbers for names", mini_cache(class_dict={1: [0]}), r"keys are not strings but of the type int"),
    raw("of a list", [1, 2], r"is not a miniImageNet cache: it lacks image_data or class_dict"),
    raw("without images", {"class_dict": {}}, r"it lacks image_data or class_dict"),
    cache("of floats", r"image_data is not uint8", image_data=np.zeros((16, 84, 84, 3), np.float32)),
    cache("of another shape", r"image_data is not uint8", image_data=np.zeros((16, 3, 84, 84), np.uint8)),
    cache("of an image", r"image_data is not uint8", image_data=np.uint8(7)),
    cache("without classes", r"class_dict does not map names to indices", class_dict={}),
    cache("with an empty class", r"class_dict does not map names to indices", class_dict={"a": []}),
    cache("of lists in lists", r"class_dict does not map names to indices", class_dict={"a": SHARED}),
    cache("of fractions", r"class_dict does not map names to indices", class_dict={"a": np.array([0.5])}),
    cache("of long numbers", r"class_dict does not map names to indices", class_dict={"a": [10**30]}),
    cache("of many indices", r"an image twice", class_dict=dict.fromkeys(map(str, range(900)), [0] * 90_000)),
    cache("of places beyond", r"or one that does not exist", class_dict={"a": [16]}),
    cache("of too few classes", r"has 1 classes and miniImageNet's has 16", class_dict={"a": [1]}),
    Case("cache large and sparse", "pickle", instead(MINI, sparse(1 << 40)), r"it has 1024 GiB, and the limit is 4"),
    Case("cache a pipe", "pickle", instead(MINI, os.mkfifo), r"cache-val\.pkl is a pipe, not a file"),
    Case("cache a folder", "pickle", instead(MINI, os.mkdir), r"cache-val\.pkl is a folder, not a file"),
    Case("cache a device", "pickle", instead(MINI, zeros), r"cache-val\.pkl is a device, not a file"),
    Case("cache a dangling link", "pickle", instead(MINI, dangling), r"cache-val\.pkl is a broken link"),
    Case("cache forbidden", "pickle", forbidden(MINI), r"cannot read .*cache-val\.pkl \(Permission denied\)"),
]

ARCHIVES = [
    Case("zip cut", "zips", edited(ZIP, lambda whole: whole[:-100]), r"small1\.zip is damaged or another file"),
    Case("zip of 0 bytes", "zips", content(ZIP, b""), r"small1\.zip is damaged or another file"),
    Case("zip with a flipped bit", "zips", edited(ZIP, flipped), r"small1\.zip is damaged or another file"),
    Case("zip missing", "zips", removed(ZIP), r"neither images_background_small1\.zip nor"),
    Case("zip a pipe", "zips", instead(ZIP, os.mkfifo), r"small1\.zip is a pipe, not a file"),
    Case("zip a device", "zips", instead(ZIP, zeros), r"small1\.zip is a device, not a file"),
    Case("zip a dangling link", "zips", instead(ZIP, dangling), r"small1\.zip is a broken link"),
    Case("zip an empty folder", "zips", instead(ZIP, os.mkdir), r"small1\.zip has 0 characters, not 3"),
    Case("zip forbidden", "zips", forbidden(ZIP), r"cannot read .*small1\.zip \(Permission denied\)"),
    Case("drawing missing", "unpacked", removed(DRAWING), r"small1 has 19 drawings of Greek/character01, not 20"),
    Case("drawing cut", "unpacked", content(DRAWING, png(1)[:-30]), r"cannot read the image .*07\.png \(.+\): replace"),
    Case("drawing a pipe", "unpacked", instead(DRAWING, os.mkfifo), r"07\.png is a pipe, not a file"),
    Case("drawing a dangling link", "unpacked", instead(DRAWING, dangling), r"07\.png is a broken link"),
    Case("character too many", "unpacked", lambda folder: content("images_background_small1/Greek/more/0.png", png(1))(
        folder), r"small1 has 4 characters, not 3"),
]  # fmt: skip

CASES = [*IMAGES, *FOLDERS, *TABLES, *CACHES, *ARCHIVES]
