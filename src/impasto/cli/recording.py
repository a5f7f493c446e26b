"""Files that a run writes besides its image: timelapse, report and checkpoints; their flags and checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli.progress import Listener, snapshots_in
from impasto.errors import OptionError
from impasto.files import folder_for
from impasto.options.declaration import option
from impasto.options.validation import check

if TYPE_CHECKING:
    from impasto.events import Mailbox
    from impasto.imaging.images import PictureLike
    from impasto.run.painter import CheckpointFolder
    from impasto.run.state import Monitor


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What to write while a run is in progress."""

    timelapse: Path | None = option(None, "write a timelapse of the run: .mp4, .gif or .webp")
    report: Path | None = option(None, "folder for an HTML report of the run")
    snapshots: Path | None = option(None, "folder for numbered intermediate images")
    every: int = option(10, "steps between snapshots", low=1)
    run_dir: Path | None = option(None, "folder for checkpoints, for `impasto resume` after a crash")
    checkpoint_every: float = option(10.0, "seconds between checkpoints", low=0.0)

    def __post_init__(self) -> None:
        check(self)

    @property
    def preview_every(self) -> int:
        """Steps between previews, which a timelapse and a report need; 0 for none."""
        return 1 if self.timelapse or self.report else 0

    def monitor(self, mailbox: Mailbox) -> Monitor:
        """Return how the run is steered and which images it yields."""
        from impasto.run.state import Monitor

        return Monitor(mailbox, self.preview_every, self.every if self.snapshots else 0)

    def checkpoints(self) -> CheckpointFolder | None:
        """Return where and how often the run saves its state."""
        from impasto.run.painter import CheckpointFolder

        return None if self.run_dir is None else CheckpointFolder(self.run_dir, self.checkpoint_every)

    def check_paths(self, output: str | Path | None, *inputs: object) -> None:
        """Raise OptionError if a file or a run would be overwritten.

        Args:
            output: the image to write.
            inputs: the images to read; anything but a path is skipped.
        """
        if self.run_dir is not None and (self.run_dir / "run.json").exists():
            raise OptionError(
                f"--run-dir {self.run_dir} already contains a run: impasto resume {self.run_dir}, or choose a "
                "different folder",
                "run_dir",
            )
        if self.timelapse is None:
            return
        from impasto.imaging.images import split_crop

        taken = [split_crop(other)[0] for other in (output, *inputs) if isinstance(other, (str, Path))]
        if any(other.resolve() == self.timelapse.resolve() for other in taken):
            raise OptionError(
                f"--timelapse {self.timelapse} is the output or an input: choose a different file", "timelapse"
            )

    def listeners(self, picture: Callable[[str], PictureLike]) -> list[Listener]:
        """Return the listeners that write the snapshots, the timelapse and the report.

        Args:
            picture: returns an input, a path or pixels, by its role: ``content`` or ``style``.
        """
        listeners: list[Listener] = []
        if self.snapshots is not None:
            listeners.append(snapshots_in(folder_for(self.snapshots, "snapshots")))
        if self.timelapse is not None:
            from impasto.workflows.timelapse import Timelapse

            listeners.append(Timelapse(self.timelapse))
        if self.report is not None:
            from impasto.workflows.report import Report

            listeners.append(Report(self.report, picture("content"), picture("style")))
        return listeners
