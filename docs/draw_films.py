"""Film the trained initialisations of the package for docs/_static/films: `python docs/draw_films.py`.

`metarl video` makes each film; then it is compressed to a size that pages load at once. It needs OpenGL (on a machine
without a screen, MUJOCO_GL=egl).
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from imageio_ffmpeg import get_ffmpeg_exe

from metarl.experiments.cli import main

FOLDER = Path(__file__).parent / "_static" / "films"
FILMS = {  # the arguments of `metarl video` but --out
    "half-cheetah-vel-before-after": "pretrained:half-cheetah-vel-maml --task 2 --steps 1",
    "half-cheetah-vel-goals": "pretrained:half-cheetah-vel-maml --task 0.5 --task 1.5 --task 2.5 --steps 3",
}
ENCODING = "-c:v libx264 -crf 26 -preset veryslow -pix_fmt yuv420p -movflags +faststart -map_metadata -1"


def draw(name: str, arguments: str) -> Path:
    """Make one film; returns its path."""
    out = FOLDER / f"{name}.mp4"
    with TemporaryDirectory() as folder:
        whole = Path(folder) / "film.mp4"
        main(["video", *arguments.split(), "--out", str(whole)])
        command = [get_ffmpeg_exe(), "-y", "-v", "error", "-i", str(whole), "-vf", "scale=iw*2/3:-2:flags=lanczos"]
        subprocess.run([*command, *ENCODING.split(), str(out)], check=True)
    return out


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, arguments in FILMS.items():
        path = draw(name, arguments)
        print(f"{path}: {path.stat().st_size / 1e3:.0f} KB")
