"""Send signals to commands at random moments, and check that every file that is left is whole.

    python scripts/interrupt_commands.py [--count 60] [--seed 0]

Each trial starts a command in an empty folder and sends SIGINT, SIGTERM or SIGHUP after a random share of the time that
the command takes. Afterwards every image can be decoded, every checkpoint is resumed to its end, no temporary file is
left, and the exit status is that of the signal, or 0 if the command was faster. Prints a line per trial and exits with
status 1 if one failed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
SMALL = ["--size=48", "--scales=1", "--precision=fp32"]
PAIR = ["content.png", "style.png"]
COMMANDS = {
    "stylize": ["stylize", *PAIR, "-o", "out.png", "--steps=300", *SMALL],
    "stylize --run-dir": [
        "stylize",
        *PAIR,
        "-o",
        "out.png",
        "--steps=300",
        "--run-dir=run",
        "--checkpoint-every=0",
        *SMALL,
    ],
    "replay": ["replay", "first.png", "-o", "again.png"],
    "resume": ["resume", "first"],
    "explore": ["explore", *PAIR, "--axis=strength=0.2,0.5,0.8", "-o", "sheet", "--steps=80", *SMALL],
    "compare": ["compare", *PAIR, "--recipes=impasto", "-o", "compared", "--steps=80", "--size=72", *SMALL[1:]],
    "texture": ["texture", "style.png", "-o", "texture.png", "--width=64", "--height=64", "--steps=200"],
    "train": [
        "train",
        "style.png",
        "--photos=photos",
        "-o",
        "net.safetensors",
        "--steps=40",
        "--crop-size=64",
        "--batch-size=1",
    ],
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HANG_SECONDS = 600


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start Impasto in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "impasto", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


def prepare(folder: Path) -> None:
    """Write the inputs, and the finished run that is replayed and resumed."""
    noise = random.Random(1)
    (folder / "photos").mkdir(parents=True)
    for name in ("content", "style", *(f"photos/{index}" for index in range(4))):
        blocks = Image.frombytes("RGB", (8, 6), noise.randbytes(144))
        blocks.resize((96, 72), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    command = ["stylize", *PAIR, "-o", "first.png", "--steps=200", "--run-dir=first", *SMALL]
    process = start(command, folder)
    output = process.communicate(timeout=HANG_SECONDS)[0]
    assert process.returncode == 0, output


def problems_of(folder: Path, status: int, number: int, output: str) -> list[str]:
    """Return what is wrong after a command has ended."""
    found = []
    if status not in (0, 128 + number):
        found.append(f"status {status}")
    if "Traceback" in output:
        found.append("traceback")
    for path in folder.rglob("*"):
        if path.suffix == ".tmp":
            found.append(f"left {path.name}")
        elif path.suffix == ".png":
            try:
                Image.open(path).load()
            except OSError as error:
                found.append(f"{path.name}: {error}")
    if (folder / "run" / "run.json").exists():
        process = start(["resume", "run"], folder)
        resumed = process.communicate(timeout=HANG_SECONDS)[0]
        if process.returncode != 0:
            found.append(f"not resumed: {resumed.strip().splitlines()[-1:]}")
    return found


def main() -> int:
    """Run the trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    choose = random.Random(args.seed)
    failed, seconds = 0, dict.fromkeys(COMMANDS, 20.0)
    with tempfile.TemporaryDirectory() as name:
        template = Path(name) / "template"
        prepare(template)
        for trial in range(args.count):
            command, number = list(COMMANDS)[trial % len(COMMANDS)], SIGNALS[trial // len(COMMANDS) % len(SIGNALS)]
            folder = Path(name) / str(trial)
            subprocess.run(["cp", "-r", template, folder], check=True)
            began, share = time.monotonic(), choose.random()
            process = start(COMMANDS[command], folder)
            try:
                output = process.communicate(timeout=share * seconds[command])[0]
                seconds[command] = time.monotonic() - began
            except subprocess.TimeoutExpired:
                process.send_signal(number)
                output = process.communicate(timeout=HANG_SECONDS)[0]
            found = problems_of(folder, process.returncode, number, output)
            failed += bool(found)
            last = (output.strip().splitlines() or [""])[-1]
            shown = f"{trial + 1:3d} {command:18s} {signal.Signals(number).name:8s} status {process.returncode:3d}"
            print(f"{shown} {'; '.join(found) or 'whole'} | {last[:80]}", flush=True)
    print(f"{args.count - failed} of {args.count} whole")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
