"""Where an image goes: what is refused before the work."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace

import pytest
from test_encode import SMOOTH, one_line

from impasto.errors import ImageError
from impasto.imaging import encode
from impasto.imaging.images import check_output, save


def test_a_missing_folder_is_made(tmp_path):
    target = tmp_path / "new" / "deep" / "out.png"
    assert check_output(target) == target
    assert target.parent.is_dir()
    assert list(target.parent.iterdir()) == []


def test_an_output_that_is_an_input_is_refused(tmp_path):
    photo = save(tmp_path / "photo.png", SMOOTH)
    (tmp_path / "link.png").symlink_to(photo)
    os.link(photo, tmp_path / "hard.png")
    for name in ("photo.png", "link.png", "hard.png"):
        for source in (photo, str(photo), f"{photo}#0,0,5,5", tmp_path / "sub" / ".." / "photo.png"):
            (tmp_path / "sub").mkdir(exist_ok=True)
            with pytest.raises(ImageError) as caught:
                check_output(tmp_path / name, [SMOOTH, "no such.png", source])
            one_line(caught, name, "one of the inputs")
    assert check_output(tmp_path / "other.png", [photo, SMOOTH]) == tmp_path / "other.png"


def test_an_output_that_is_a_directory_is_refused(tmp_path):
    (tmp_path / "out.png").mkdir()
    with pytest.raises(ImageError) as caught:
        check_output(tmp_path / "out.png")
    one_line(caught, "is a directory")


def test_a_folder_that_cannot_be_made_is_said_before(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError) as caught:
        check_output(tmp_path / "file" / "out.png")
    one_line(caught, "cannot be written", "choose a different one")


def test_a_folder_that_cannot_be_written_is_said_before(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(encode.os, "open", refuse)
    with pytest.raises(ImageError) as caught:
        check_output(tmp_path / "out.png")
    one_line(caught, str(tmp_path), "Permission denied", "choose a different one")
    with pytest.raises(ImageError) as caught:
        save(tmp_path / "out.png", SMOOTH)
    one_line(caught, "out.png", "cannot be written (Permission denied)")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everything")
def test_a_folder_that_cannot_be_written_for_real(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ImageError, match="cannot be written"):
        check_output(tmp_path / "out.png")
    tmp_path.chmod(0o700)


def test_a_write_protected_file_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "out.png", SMOOTH)
    monkeypatch.setattr(encode.os, "access", lambda *args: False)
    with pytest.raises(ImageError) as caught:
        check_output(tmp_path / "out.png")
    one_line(caught, "out.png", "write-protected")


def test_room_on_the_disk_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5_000_000))
    assert check_output(tmp_path / "out.png", nbytes=4_000_000)
    with pytest.raises(ImageError) as caught:
        check_output(tmp_path / "out.png", nbytes=6_000_000)
    one_line(caught, "5 MB left", "about 6 MB")
