"""Command lines with a mistake, and the words that must be said of it: one line, exit status 2, and nothing is made.

`{run}` stands for the folder of a finished run of the point task, `{tmp}` for an empty folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Case = tuple[tuple[str, ...], str]  # arguments, and words of the message

WORDS = ("one", "", "nan", "inf", "-inf", "1e400", "½")
COUNT = ("0", "-1", "1.5", "1000000000000", *WORDS)  # not 1, 2, …
WHOLE = ("-1", "2.5", "1000000000000", *WORDS)
POSITIVE = ("0", "-1", *WORDS)
NON_NEGATIVE = ("-0.1", *WORDS)
SHARE = ("-0.1", "1.1", *WORDS)
ABOVE = ("0", "-1", "1.5", *WORDS)  # not above 0 and up to 1
PAIRS = ("0 1", "1 0", "-1 1", "one 1", "nan 1", "1.5 2")
RUN = {  # settings of every run
    "meta-batch": COUNT, "iterations": COUNT, "seed": WHOLE, "chunk": COUNT, "log-every": COUNT,
    "checkpoint-every": COUNT, "keep": ("-1", "x", "nan"), "test-steps": WHOLE, "test-tasks": COUNT,
    "validation-tasks": COUNT, "threads": (*WHOLE, "100000"), "torch-threads": (*WHOLE, "100000"),
}  # fmt: skip
POINT = {
    "task.env": ("", "metarl/Point"),
    "task.trajectories": COUNT, "task.train-trajectories": COUNT, "task.horizon": COUNT, "task.discount": SHARE,
    "task.gae-lambda": SHARE, "task.action-scale": POSITIVE, "task.init-std": (*POSITIVE, "11"),
    "task.min-std": (*POSITIVE, "2"), "task.activation": ("", "sine", "ReLU", "0"),
    "task.hidden": ("0", "-5", "64 0", "1.5", "x", "nan", "1000000 1000000", "100000 100000"),
    "task.gae-schedule": ("0.9 0.9 0", "0.9 1.1 0.5", "nan 0.9 0.5", "0.9 -0.1 0.5", "a b c"),
    "task.inner-gae": ("0.9 1.1", "-1 0.9", "nan nan", "a b"),
    "learner.steps": (*WHOLE, "100000000"), "learner.lr": POSITIVE,
    "algorithm.max-kl": POSITIVE, "algorithm.cg-steps": COUNT, "algorithm.damping": NON_NEGATIVE,
    "algorithm.backtrack": (*POSITIVE, "1", "2"), "algorithm.backtracks": COUNT, "algorithm.curvature-every": PAIRS,
    "algorithm.step-weights": ("0 0", "-1 -1", "nan nan", "1 1 1", "x y", "inf 1"),
}  # fmt: skip
OTHER = {  # preset: its own settings
    "point-nav-promp": {
        "algorithm.lr": POSITIVE, "algorithm.epochs": COUNT, "algorithm.clip": ABOVE,
        "algorithm.penalty": NON_NEGATIVE,
    },
    "point-nav-reptile": {"algorithm.lr": (*ABOVE, "5"), "algorithm.lr-end": (*NON_NEGATIVE, "2")},
    "point-nav-gmps": {"algorithm.lr": POSITIVE, "algorithm.lr-end": (*NON_NEGATIVE, "2")},
    "point-nav-pretrained": {
        "algorithm.lr": POSITIVE, "algorithm.lr-end": (*NON_NEGATIVE, "1"), "algorithm.epochs": COUNT,
        "algorithm.batch-size": ("1", *COUNT), "algorithm.clip": ABOVE, "algorithm.gae-lambda": SHARE,
        "algorithm.entropy": NON_NEGATIVE, "algorithm.value-hidden": ("0", "-1", "x", "100000 100000"),
        "algorithm.max-gradient": POSITIVE,
    },
    "sinusoid-maml": {
        "task.shots": COUNT, "task.train-shots": COUNT, "task.queries": COUNT,
        "task.hidden": ("0", "-5", "1000000 1000000"), "algorithm.lr": POSITIVE,
        "algorithm.lr-end": (*NON_NEGATIVE, "2"), "algorithm.step-weights": ("0 0", "-1 -1", "1", "nan nan"),
    },
    "sinusoid-imaml": {
        "learner.steps": WHOLE, "learner.lr": POSITIVE, "learner.strength": POSITIVE, "learner.cg-steps": COUNT,
    },
    "sinusoid-alpaca": {"learner.encoding": COUNT, "learner.hidden": ("0", "-1"), "learner.noise": POSITIVE},
    "sinusoid-cavia": {"learner.context": COUNT, "learner.lr": POSITIVE},
    "omniglot-5way-1shot-alpha-maml": {
        "algorithm.lr": POSITIVE, "algorithm.inner-hyper": NON_NEGATIVE, "algorithm.outer-hyper": NON_NEGATIVE
    },
    "omniglot-5way-1shot-maml-plus-plus": {"algorithm.annealing": SHARE, "algorithm.lr": POSITIVE},
    "omniglot-5way-1shot-maml": {
        "task.images": ("", "omniglott", "imagenet"), "task.ways": ("1", *COUNT), "task.shots": COUNT,
        "task.queries": COUNT, "task.train-shots": COUNT, "task.train-queries": COUNT,
        "task.train-ways": ("1", "5", "x"),
        "task.architecture": ("", "resnet", "Conv4"), "task.filters": COUNT, "task.shift": (*WHOLE, "64"),
        "task.warp": (*SHARE, "0.4"), "task.same_alphabet": SHARE, "task.pretraining": WHOLE,
    },
    "omniglot-5way-1shot-bayesian-maml": {"algorithm.weight": NON_NEGATIVE, "algorithm.step-weights": ("0", "1 1")},
}  # fmt: skip
NAMES: Sequence[Case] = (
    (("",), "unknown command ''"),
    (("trian",), "unknown command 'trian': did you mean train?"),
    (("version",), "unknown command"),
    (("-x",), "unknown command"),
    (("--",), "unknown command"),
    (("列",), "unknown command"),
    (("list", "all"), "no preset has 'all' in its name"),
    (("list", ""), "no preset has '' in its name"),
    (("list", "ant", "protonet"), "no preset has 'ant' and 'protonet' in its name"),
    (("list", "--json", "x"), "Unrecognized"),
    (("train",), "needs a preset"),
    (("train", ""), "unknown preset ''"),
    (("train", "sinusoid-mam"), "did you mean sinusoid-maml"),
    (("train", "SINUSOID-MAML"), "unknown preset"),
    (("train", "αβγ"), "unknown preset"),
    (("train", "../sinusoid-maml"), "unknown preset"),
    (("train", "--device", "cpu"), "needs a preset"),
    (("train", "--quick"), "needs a preset"),
    (("train", "--out", "{tmp}/run"), "needs a preset"),
    (("train", "-x"), "needs a preset"),
    (("train", "--", "sinusoid-maml"), "needs a preset"),
    (("train", "sinusoid-maml", "sinusoid-maml"), "Unrecognized"),
    (("train", "sinusoid-maml", "--resume", "{run}"), "either --resume DIR or a preset"),
    (("train", "sinusoid-maml", "--resume={run}"), "either --resume DIR or a preset"),
    (("train", "--resume"), "--resume"),
    (("train", "--resume", ""), "not a run folder"),
    (("train", "--resume", "{tmp}"), "not a run folder"),
    (("train", "--resume", "{tmp}/none"), "not a run folder"),
    (("train", "--resume", "/dev/null"), "not a run folder"),
    (("train", "--resume", "{run}/config.json"), "not a run folder"),
    (("train", "--resume", "{run}", "--iterations", "9"), "only --device and --data"),
    (("train", "--resume", "{run}", "--out", "{tmp}/x"), "only --device and --data"),
    (("train", "--resume", "{run}", "--quick"), "only --device and --data"),
    (("train", "--resume", "{run}", "--device", "tpu"), "device is 'tpu'"),
    (("train", "--resume", "{run}", "--data", "{tmp}"), "need no data set"),
    (("train", "sinusoid-maml", "--device", "tpu"), "device is 'tpu': give one of 'auto', 'cpu', 'cuda'"),
    (("train", "sinusoid-maml", "--device"), "--device"),
    (("train", "sinusoid-maml", "--quick", "yes"), "Unrecognized"),
    (("train", "sinusoid-maml", "--out", "{run}"), "is not empty"),
    (("train", "sinusoid-maml", "--out", "{run}/config.json"), "is not empty"),
    (("train", "sinusoid-maml", "--out", "{run}/config.json/x"), "choose another --out"),
    (("train", "sinusoid-maml", "--out", "/dev/null"), "is not empty"),
    (("train", "sinusoid-maml", "--out", "/dev/null/x"), "choose another --out"),
    (("train", "sinusoid-maml", "--out", "/proc/x"), "choose another --out"),
    (("train", "sinusoid-maml", "--out", "{tmp}/" + 300 * "x"), "File name too long"),
    (("train", "sinusoid-maml", "--iteration", "3"), "did you mean --iterations?"),
    (("train", "sinusoid-maml", "--iterations", "3", "4"), "Unrecognized"),
    (("train", "sinusoid-maml", "--iterations"), "--iterations"),
    (("train", "sinusoid-maml", "--iterations", "-x"), "--iterations"),
    (("train", "sinusoid-maml", "--iterations", "--seed", "1"), "--iterations"),
    (("train", "sinusoid-maml", "--iterations=0"), "iterations is 0"),
    (("train", "sinusoid-maml", "--iterations=1", "--iterations=0"), "iterations is 0"),
    (("train", "sinusoid-maml", "--data", "{tmp}"), "Unrecognized"),
    (("train", "sinusoid-maml", "--expert", "{run}"), "Unrecognized"),
    (("train", "sinusoid-maml", "--task.env", "metarl/AntVel-v0"), "Unrecognized"),
    (("train", "sinusoid-maml", "--algorithm.max-kl", "0.1"), "Unrecognized"),
    (("train", "sinusoid-maml", "--learner.lr"), "learner.lr is an empty sequence"),
    (("train", "sinusoid-maml", "--learner.learn-lr", "--learner.lr", "0.1", "0.2"), "learner.learn_lr uses"),
    (("train", "point-nav-2017-maml", "--task.env", "PointNav-v0"), "unknown environment 'PointNav-v0'"),
    (("train", "point-nav-2017-maml", "--task.env", "../x"), "unknown environment '../x'"),
    (("train", "sinusoid-maml", "--learner.adapt", "nothing"), "nothing"),
    (("train", "sinusoid-maml", "--algorithm.freeze", "nothing"), "nothing"),
    (("train", "sinusoid-maml", "--learner.first-order", "no"), "Unrecognized"),
    (("train", "point-nav-maml", "--task.gae-schedule", "0.9"), "task.gae_schedule"),
    (("train", "point-nav-maml", "--algorithm.curvature-every", "6"), "--algorithm.curvature-every"),
    (("train", "point-nav-maml", "--algorithm.curvature-every", "1", "2", "3"), "Unrecognized"),
    (("train", "point-nav-gmps"), "--expert"),
    (("train", "point-nav-gmps", "--expert", "{tmp}"), "not a run folder"),
    (("train", "point-nav-gmps", "--expert", "{run}"), "no expert"),
    (("train", "omniglot-5way-1shot-maml", "--data", ""), "task.data is ''"),
    (("train", "omniglot-5way-1shot-maml", "--task.images", "folder"), "--data"),
    (("train", "omniglot-5way-1shot-maml", "--task.images", "folder", "--data", "{tmp}/none"), "none"),
)  # fmt: skip
OTHERS: Sequence[Case] = (
    (("evaluate",), "Missing"),
    (("evaluate", "{tmp}"), "not a run folder"),
    (("evaluate", "{tmp}/none"), "not a run folder"),
    (("evaluate", ""), "not a run folder"),
    (("evaluate", "/dev/null"), "not a run folder"),
    (("evaluate", "-x"), "run-folder"),
    (("evaluate", "{run}", "{run}"), "Unrecognized"),
    (("evaluate", "--tyro-print-completion", "shell"), "Unrecognized"),
    (("evaluate", "--tyro-write-completion", "bash", "{tmp}/x"), "Unrecognized"),
    *((("evaluate", "{run}", "--steps", value), "steps is") for value in (*WHOLE, "100000000")),
    *((("evaluate", "{run}", "--tasks", value), "tasks is") for value in (*COUNT, "10000000000")),
    (("evaluate", "{run}", "--tasks", "1000000000"), "GiB"),
    *((("evaluate", "{run}", "--seed", value), "seed is") for value in WHOLE),
    (("evaluate", "{run}", "--checkpoint", ""), "unknown checkpoint ''"),
    (("evaluate", "{run}", "--checkpoint", "newest"), "unknown checkpoint 'newest'"),
    (("evaluate", "{run}", "--checkpoint", "-1"), "-1"),
    (("evaluate", "{run}", "--checkpoint", "1.0"), "unknown checkpoint '1.0'"),
    (("evaluate", "{run}", "--checkpoint", "999"), "no checkpoint after iteration 999"),
    (("evaluate", "{run}", "--checkpoint", "99999999999999999999"), "no checkpoint after iteration"),
    (("evaluate", "{run}", "--device", "gpu"), "device is 'gpu'"),
    (("evaluate", "{run}", "--data", "{tmp}"), "need no data set"),
    (("evaluate", "{run}", "--no-transductive"), "no images"),
    (("evaluate", "{run}", "--json", ""), ".json"),
    (("evaluate", "{run}", "--json", "{tmp}"), ".json"),
    (("evaluate", "{run}", "--json", "{tmp}/x.txt"), ".json"),
    (("evaluate", "{run}", "--json", "{tmp}/none/x.json"), "does not exist"),
    (("evaluate", "{run}", "--json", "{run}/config.json"), "needs that file"),
    (("evaluate", "{run}", "--json", "{run}/validation.json"), "needs that file"),
    (("evaluate", "{run}", "--json", "{run}/checkpoints/x.json"), "needs that file"),
    (("evaluate", "{run}", "--json", "/proc/x.json"), "cannot"),
    (("evaluate", "{run}", "--json", "/dev/full"), ".json"),
    (("compare",), "nothing to compare"),
    (("compare", "{tmp}"), "there is no"),
    (("compare", "{run}"), "there is no"),
    (("compare", "{tmp}/none.json"), "there is no"),
    (("compare", ""), "there is no"),
    (("compare", "/dev/null"), "not a file"),
    (("compare", "{run}/config.json"), "is damaged"),
    (("compare", "{run}/progress.csv"), "is damaged"),
    (("compare", "{run}", "--out", "{tmp}/x.jpg"), ".png, .pdf, .svg"),
    (("compare", "{run}", "--out", "{tmp}/none/x.png"), "does not exist"),
    (("compare", "{run}", "--csv", "{tmp}/x.json"), ".csv"),
    (("compare", "{run}", "--csv", "{run}/progress.csv"), "needs that file"),
    (("compare", "{run}", "--json", "{tmp}/x"), ".json"),
    (("compare", "{run}", "--json", "{run}/config.json"), "needs that file"),
    (("plot",), "--out"),
    (("plot", "{run}"), "--out"),
    (("plot", "--out", "{tmp}/x.png"), "nothing to plot"),
    (("plot", "{tmp}", "--out", "{tmp}/x.png"), "not a run folder"),
    (("plot", "{run}/config.json", "--out", "{tmp}/x.png"), "not a run folder"),
    (("plot", "{run}", "--out", "{tmp}/x"), ".png, .pdf, .svg"),
    (("plot", "{run}", "--out", ""), ".png, .pdf, .svg"),
    (("plot", "{run}", "--out", "{tmp}/x.gif"), ".png, .pdf, .svg"),
    (("plot", "{run}", "--out", "{tmp}/none/x.png"), "does not exist"),
    (("plot", "{run}", "--out", "{run}/checkpoints/x.png"), "needs that file"),
    (("plot", "{run}", "--out", "/proc/x.png"), "cannot"),
    (("video",), "--out"),
    (("video", "{run}"), "--out"),
    (("video", "{tmp}", "--out", "{tmp}/x.gif"), "not a run folder"),
    (("video", "{run}", "--out", "{tmp}/x.avi"), ".mp4, .gif"),
    (("video", "{run}", "--out", "{tmp}/none/x.gif"), "does not exist"),
    (("video", "{run}", "--out", "{run}/checkpoints/x.gif"), "needs that file"),
    *((("video", "{run}", "--out", "{tmp}/x.gif", "--steps", value), "steps is") for value in (*WHOLE, "100000000")),
    *((("video", "{run}", "--out", "{tmp}/x.gif", "--seed", value), "seed is") for value in WHOLE),
    *((("video", "{run}", "--out", "{tmp}/x.gif", "--task", value), "task is") for value in ("x", "nan", "inf", "")),
    (("video", "{run}", "--out", "{tmp}/x.gif", "--task", "1"), "leave out --task"),
    (("reproduce",), "Missing"),
    (("reproduce", ""), "no recipe for ''"),
    (("reproduce", "ant"), "no recipe for 'ant'"),
    (("reproduce", "sinusoid", "--methods", "mam"), "no recipe for 'mam'"),
    *((("reproduce", "sinusoid", "--jobs", value), "jobs is") for value in (*COUNT, "1000")),
    *((("reproduce", "sinusoid", "--fraction", value), "fraction is") for value in ABOVE),
    *((("reproduce", "sinusoid", "--seeds", value), "seeds is") for value in WHOLE),
    (("reproduce", "sinusoid", "--device", "gpu"), "device is 'gpu'"),
    (("reproduce", "sinusoid", "--runs", "/dev/null/runs"), "cannot write"),
)  # fmt: skip


SIZES: Sequence[Case] = tuple(  # as large as a setting may be, and larger than a machine is
    (("train", preset, "--out", "{tmp}/run", "--device", "cpu", *words.split()), "GiB")
    for preset, words in (
        ("sinusoid-maml", "--meta-batch 1000000000"),
        ("sinusoid-maml", "--task.shots 1000000000"),
        ("sinusoid-maml", "--task.hidden 100000 100000"),
        ("sinusoid-cnp", "--meta-batch 1000000000"),
        ("point-nav-2017-maml", "--meta-batch 1000000000"),
        ("point-nav-2017-maml", "--task.trajectories 1000000000"),
        ("point-nav-2017-maml", "--task.horizon 1000000000"),
        ("point-nav-2017-promp", "--task.hidden 20000 20000"),
        ("half-cheetah-vel-maml", "--meta-batch 1000000000"),
        ("half-cheetah-vel-maml", "--task.train-trajectories 1000000000"),
        ("half-cheetah-vel-maml", "--task.horizon 1000000000"),
        ("half-cheetah-vel-pretrained", "--meta-batch 1000000000"),
        ("half-cheetah-vel-pretrained", "--algorithm.value-hidden 90000 90000"),
    )
)  # fmt: skip


def settings() -> Iterator[Case]:
    """Each setting of each kind, with each value that it does not take."""
    tables = {"point-nav-2017-maml": RUN | POINT, **OTHER}
    for preset, table in tables.items():
        for option, values in table.items():
            path = option.replace("-", "_")
            for value in values:
                words = value.split(" ") if value else [""]
                yield ("train", preset, "--out", "{tmp}/run", f"--{option}", *words), path


def cases() -> list[Case]:
    """All of them."""
    return [*settings(), *NAMES, *OTHERS, *SIZES]
