"""Every kind of bad archive, description and binary is refused with its own code, and nothing of it stays."""

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bad_uploads import CASES, CORPUS, GOOD, described, described_as, entries, member, pack
from late_uploads import LATE_CASES

from gateway.errors import UPLOAD_REFUSALS
from gateway.simulation import description, intake
from gateway.simulation.intake import Refused

# These take a run, FMPy, or the store to find out: tests/integration/gateway/test_uploads.py.
LATER = {"upload_invalid", "missing_libraries"} | {c for c in UPLOAD_REFUSALS if c.startswith("trial_")}


def test_every_code_that_intake_can_give_has_its_bad_files() -> None:
    assert CORPUS.keys() == UPLOAD_REFUSALS.keys() - LATER


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("code", "make"), [*CASES, *LATE_CASES], ids=[code for code, _ in [*CASES, *LATE_CASES]])
def test_what_is_bad_is_refused_with_its_code_and_leaves_nothing(
    tmp_path: Path, code: str, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "inside" / "x.fmu"
    file.parent.mkdir()
    file.write_bytes(make())
    with pytest.raises(Refused) as raised:
        intake.unpack(file, file.parent / "out")
    assert raised.value.code == code, raised.value
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["inside", "x.fmu"]
    assert 10 < len(str(raised.value)) < 400


def renamed(name: str, other: str) -> zipfile.ZipInfo:
    """An entry as Python 3.12's zipfile makes it of a name and a Unicode Path field with another one."""
    info, _ = member(name)
    info.filename, info.header_offset = other, 0
    return info


def with_path_field(name: str, other: str) -> zipfile.ZipInfo:
    """To be written: the field (APPNOTE.TXT, 4.6.9) with what its checksum is of."""
    info = zipfile.ZipInfo(name)
    data = struct.pack("<BL", 1, zlib.crc32(name.encode())) + other.encode()
    info.extra = struct.pack("<HH", 0x7075, len(data)) + data
    return info


@pytest.mark.parametrize("other", ["../../evil.txt", "/tmp/evil.txt", "resources/other.txt", "modelDescription.xml"])
def test_a_file_that_would_be_written_by_another_name_than_the_index_has_is_refused(other: str) -> None:
    with zipfile.ZipFile(GOOD) as archive:
        archive.filelist.append(renamed("resources/harmless.txt", other))
        with pytest.raises(Refused) as raised:
            intake._check_archive(archive)
    assert raised.value.code == "unsafe_path"


def test_no_second_name_of_a_file_leads_out_whichever_python_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "inside" / "x.fmu"
    file.parent.mkdir()
    file.write_bytes(pack(entries(), (with_path_field("harmless.txt", "../../evil.txt"), b"owned")))
    if sys.version_info >= (3, 12):
        with pytest.raises(Refused, match=r"another name|leads out"):
            intake.unpack(file, file.parent / "out")
    else:  # which does not know of that field
        intake.unpack(file, file.parent / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


def test_a_name_that_is_there_in_utf_8_once_more_is_no_fault() -> None:
    with zipfile.ZipFile(GOOD) as archive:
        archive.filelist.append(renamed("é".encode().decode("cp437"), "é"))
        assert intake._check_archive(archive)


def test_a_good_one_is_unpacked_whole(tmp_path: Path) -> None:
    intake.unpack(GOOD, tmp_path / "out")
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == entries()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_is_unpacked_is_on_disk_before_its_name_and_the_name_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, int]] = []
    real = intake._libc.syncfs

    class Watched:
        @staticmethod
        def syncfs(descriptor: int) -> int:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            synced.append((path.name, sum(p.is_file() for p in path.rglob("*"))))
            return int(real(descriptor))

    monkeypatch.setattr(intake, "_libc", Watched)
    intake.unpack(GOOD, tmp_path / "out")
    assert synced == [("out.part", len(entries())), (tmp_path.name, len(entries()))]


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        @staticmethod
        def syncfs(_: int) -> int:
            ctypes.set_errno(errno.ENOSPC)
            return -1

    monkeypatch.setattr(intake, "_libc", Full)
    with pytest.raises(OSError, match="No space left"):
        intake.unpack(GOOD, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_another_process_never_unlocks_is_waited_for_no_longer_than_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LOCK_SECONDS", 0.05)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(TimeoutError, match="locked"):
        intake.unpack(GOOD, tmp_path / "out")
    os.close(handle)
    intake.unpack(GOOD, tmp_path / "out")


@pytest.mark.parametrize(("user", "folder", "file"), [(0, 0o755, 0o644), (1000, 0o700, 0o600)])
def test_nobody_but_the_gateway_and_its_runs_can_read_what_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, folder: int, file: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    intake.unpack(GOOD, tmp_path / "out")
    for path in (tmp_path / "out", *(tmp_path / "out").rglob("*")):
        assert path.stat().st_mode & 0o777 == (folder if path.is_dir() else file)


def test_many_who_unpack_the_same_at_once_all_find_it_whole(tmp_path: Path) -> None:
    (tmp_path / "x.fmu").write_bytes(pack(entries() | {f"resources/{i}": b"x" for i in range(200)}))
    barrier = threading.Barrier(8)

    def unpack(_: int) -> int:
        barrier.wait()
        intake.unpack(tmp_path / "x.fmu", tmp_path / "out")
        return sum(path.is_file() for path in (tmp_path / "out").rglob("*"))

    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(unpack, range(8))) == {len(entries()) + 200}
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x.fmu"]
        shutil.rmtree(tmp_path / "out")


def test_what_one_that_died_left_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "half").touch()
    intake.unpack(GOOD, tmp_path / "out")
    assert not (tmp_path / "out" / "half").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_description_in_utf_16_is_read_like_any_other(tmp_path: Path) -> None:
    text = entries()[intake.DESCRIPTION].decode().replace('encoding="UTF-8"', 'encoding="UTF-16"')
    (tmp_path / "x.fmu").write_bytes(described_as(text.encode("utf-16")))
    intake.unpack(tmp_path / "x.fmu", tmp_path / "out")
    assert description.read(tmp_path / "out", "a:b", "0" * 64).outputs == ("h", "v")


@pytest.mark.parametrize("comment", [b"", b"packed by a tool", b"x" * 65_535])
def test_a_comment_at_the_end_of_the_archive_is_no_fault(tmp_path: Path, comment: bytes) -> None:
    raw = GOOD.read_bytes()
    (tmp_path / "x.fmu").write_bytes(raw[:-2] + struct.pack("<H", len(comment)) + comment)
    intake.unpack(tmp_path / "x.fmu", tmp_path / "out")


def test_an_array_of_any_number_of_elements_is_not_made(tmp_path: Path) -> None:
    array = '<Float64 name="w" valueReference="90" start="0"><Dimension start="1000000000000"/></Float64>'
    huge = described("</ModelVariables>", array + "</ModelVariables>")
    (tmp_path / "x.fmu").write_bytes(huge)
    intake.unpack(tmp_path / "x.fmu", tmp_path / "out")
    with pytest.raises(ValueError, match="elements"):
        description.read(tmp_path / "out", "a:b", "0" * 64)
