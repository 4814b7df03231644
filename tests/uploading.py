"""Uploading: good and bad FMUs as bytes, and what a test does with them."""

import io
import re
import zipfile
from typing import Any

import httpx
from harness import TEST_MODELS, Buyer, Gateway

from gateway.settings import SHIPPED_MODELS

TAG = "known to one account only"


def fmu(name: str = "DCMotor", tag: str = TAG, **attributes: str) -> bytes:
    """A good model as a file of its own: another description, so another sha256. Attributes replace those of the
    default experiment."""
    folder = SHIPPED_MODELS / "msl" if (SHIPPED_MODELS / "msl" / f"{name}.fmu").exists() else TEST_MODELS
    raw = io.BytesIO()
    with zipfile.ZipFile(folder / f"{name}.fmu") as old, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "modelDescription.xml":
                text = re.sub(r'description="[^"]*"', f'description="{tag}"', content.decode(), count=1)
                for attribute, value in attributes.items():
                    text = re.sub(rf'(<DefaultExperiment[^>]*){attribute}="[^"]*"', rf'\1{attribute}="{value}"', text)
                content = text.encode()
            new.writestr(entry.filename, content)
    return raw.getvalue()


def send(buyer: Buyer, raw: bytes, **headers: str) -> httpx.Response:
    return buyer.http.post("/fmus", content=raw, headers=headers)


def bring(buyer: Buyer, raw: bytes) -> dict[str, Any]:
    answer = send(buyer, raw)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def kept(gateway: Gateway) -> list[str]:
    """The names of everything that is on the disk for uploads."""
    folder = gateway.settings.database_path.parent / "uploads"
    return sorted(path.name for path in folder.iterdir() if path.name != "incoming") + sorted(
        path.name for path in (folder / "incoming").iterdir()
    )


def zipped(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


def files_of(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def described(*changes: bytes) -> bytes:
    """With each old text of the description replaced by the new one after it."""
    files = files_of(fmu())
    text = files["modelDescription.xml"]
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in text
        text = text.replace(old, new, 1)
    return zipped({**files, "modelDescription.xml": text})


def linked(old: bytes, new: bytes) -> bytes:
    files = files_of(fmu())
    assert any(old in raw for name, raw in files.items() if name.endswith(".so"))
    return zipped({name: raw.replace(old, new) if name.endswith(".so") else raw for name, raw in files.items()})
