"""Paint the sample styles and store them in the package: python scripts/paint_samples.py."""

from __future__ import annotations

from pathlib import Path

import cv2

from sample_styles import STYLES

DATA = Path(__file__).resolve().parent.parent / "src" / "impasto" / "imaging" / "data"
LARGEST_BYTES = 300_000


def main() -> None:
    """Write one JPEG per style, at the best quality that stays within ``LARGEST_BYTES``."""
    DATA.mkdir(exist_ok=True)
    for name, painter in STYLES.items():
        picture = painter(768)[..., ::-1]
        for quality in range(92, 60, -2):
            options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
            _, content = cv2.imencode(".jpg", picture, options)
            if content.nbytes <= LARGEST_BYTES:
                break
        path = DATA / f"{name}.jpg"
        path.write_bytes(content.tobytes())
        print(f"{path.relative_to(Path.cwd())}: {content.nbytes / 1000:.0f} kB, quality {quality}")


if __name__ == "__main__":
    main()
