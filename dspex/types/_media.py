"""`Image`, `Audio` and `File`: what goes to a model beside text."""

from __future__ import annotations

import base64
import io
import mimetypes
import wave
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, model_validator

from dspex.types._base import ContentPart, Type

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
)
_REMOTE = ("http://", "https://", "gs://", "s3://")


def _sniff(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _fetch(url: str) -> tuple[bytes, str | None]:
    import httpx

    reply = httpx.get(url, follow_redirects=True, timeout=30.0)
    reply.raise_for_status()
    return reply.content, reply.headers.get("content-type", "").partition(";")[0].strip() or None


def _shortened(text: str | None) -> str:
    if text is not None and len(text) > 80:
        return f"<{text[:32]}... {len(text)} characters>"
    return repr(text)


class Image(Type):
    """An image: ``Image("https://...")``, a data URI, a path, bytes, or a PIL image.

    A URL is handed to the model as it is, unless `download` says to fetch it and send its content.
    """

    model_config = ConfigDict(frozen=True)

    url: str

    def __init__(self, source: Any = None, *, download: bool = False, **data: Any) -> None:
        if source is not None:
            data["url"] = source
        if "url" in data:
            data["url"] = self._encode(data["url"], download)
        super().__init__(**data)

    @model_validator(mode="before")
    @classmethod
    def _from_source(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"url": cls._encode(value, False)}

    @classmethod
    def _encode(cls, source: Any, download: bool) -> str:
        if isinstance(source, Image):
            return source.url
        if isinstance(source, str) and source.startswith("data:"):
            return source
        if isinstance(source, str) and source.startswith(_REMOTE):
            if not download:
                return source
            data, kind = _fetch(source)
            return _data_uri(data, kind or _sniff(data) or "application/octet-stream")
        if isinstance(source, (bytes, bytearray)):
            kind = _sniff(bytes(source))
            if kind is None:
                raise ValueError("These bytes are no image that we know (PNG, JPEG, GIF, BMP, WebP, PDF).")
            return _data_uri(bytes(source), kind)
        if isinstance(source, (str, Path)):
            return cls._encode_file(Path(source))
        if hasattr(source, "save") and hasattr(source, "mode"):
            buffer = io.BytesIO()
            form = getattr(source, "format", None) or "PNG"
            source.save(buffer, format=form)
            return _data_uri(buffer.getvalue(), f"image/{form.lower()}")
        raise ValueError(f"An image is a URL, a data URI, a path, bytes or a PIL image, not {type(source).__name__}.")

    @staticmethod
    def _encode_file(path: Path) -> str:
        if not path.is_file():
            raise ValueError(f"There is no image file {str(path)[:200]!r}, and it is no http(s) URL or data URI.")
        data = path.read_bytes()
        return _data_uri(data, _sniff(data) or mimetypes.guess_type(path.name)[0] or "application/octet-stream")

    @classmethod
    def from_url(cls, url: str, download: bool = False) -> Self:
        return cls(url, download=download)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        return cls(Path(path))

    from_path = from_file

    @classmethod
    def from_PIL(cls, image: Any) -> Self:
        return cls(image)

    def format(self) -> list[ContentPart]:
        return [{"type": "image_url", "image_url": {"url": self.url}}]

    def __repr__(self) -> str:
        return f"Image(url={_shortened(self.url)})"

    __str__ = __repr__


class Audio(Type):
    """Sound, base64-encoded, with its format ("wav", "mp3"...)."""

    model_config = ConfigDict(frozen=True)

    data: str
    audio_format: str

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        kind = mimetypes.guess_type(str(path))[0] or ""
        if not kind.startswith("audio/"):
            raise ValueError(f"{path} does not look like a sound file (its name says {kind or 'nothing'}).")
        data = base64.b64encode(Path(path).read_bytes()).decode("ascii")
        return cls(data=data, audio_format=_audio_format(kind))

    from_path = from_file

    @classmethod
    def from_url(cls, url: str) -> Self:
        data, kind = _fetch(url)
        kind = kind or mimetypes.guess_type(url)[0] or ""
        if not kind.startswith("audio/"):
            raise ValueError(f"{url} is not sound (its type is {kind or 'unknown'}).")
        return cls(data=base64.b64encode(data).decode("ascii"), audio_format=_audio_format(kind))

    @classmethod
    def from_bytes(cls, data: bytes, audio_format: str) -> Self:
        return cls(data=base64.b64encode(data).decode("ascii"), audio_format=audio_format)

    @classmethod
    def from_array(cls, array: Any, sampling_rate: int) -> Self:
        """Mono samples between -1 and 1 (a sequence or a numpy array), as 16-bit WAV."""
        samples = b"".join(
            int(max(-1.0, min(1.0, float(sample))) * 32767).to_bytes(2, "little", signed=True) for sample in array
        )
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(sampling_rate)
            sound.writeframes(samples)
        return cls.from_bytes(buffer.getvalue(), "wav")

    def format(self) -> list[ContentPart]:
        return [{"type": "input_audio", "input_audio": {"data": self.data, "format": self.audio_format}}]

    def __repr__(self) -> str:
        return f"Audio(data=<{len(self.data)} characters>, audio_format={self.audio_format!r})"

    __str__ = __repr__


def _audio_format(kind: str) -> str:
    name = kind.partition("/")[2].removeprefix("x-")
    return {"mpeg": "mp3", "vnd.wave": "wav"}.get(name, name)


class File(Type):
    """A document: its content as a data URI, or the id that the provider gave it on upload."""

    model_config = ConfigDict(frozen=True)

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.file_data is None and self.file_id is None:
            raise ValueError("A file needs `file_data` or `file_id`; see File.from_path and File.from_bytes.")
        return self

    @classmethod
    def from_path(cls, path: str | Path, filename: str | None = None, mime_type: str | None = None) -> Self:
        path = Path(path)
        return cls.from_bytes(path.read_bytes(), filename or path.name, mime_type or mimetypes.guess_type(path.name)[0])

    @classmethod
    def from_bytes(cls, data: bytes, filename: str | None = None, mime_type: str | None = None) -> Self:
        kind = mime_type or _sniff(data) or "application/octet-stream"
        return cls(file_data=_data_uri(data, kind), filename=filename)

    @classmethod
    def from_file_id(cls, file_id: str, filename: str | None = None) -> Self:
        return cls(file_id=file_id, filename=filename)

    def format(self) -> list[ContentPart]:
        given = {"file_data": self.file_data, "file_id": self.file_id, "filename": self.filename}
        return [{"type": "file", "file": {key: value for key, value in given.items() if value is not None}}]

    def __repr__(self) -> str:
        return f"File(file_data={_shortened(self.file_data)}, file_id={self.file_id!r}, filename={self.filename!r})"

    __str__ = __repr__
