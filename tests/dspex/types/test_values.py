"""Images, sound, files, code, reasoning, history."""

from __future__ import annotations

import base64
import io
import pickle
import wave
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from dspex.types import Audio, Code, File, History, Image, Reasoning, Type, types_in

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100
PNG_URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def test_an_image_is_made_of_a_url_a_data_uri_bytes_or_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(PNG)
    assert Image("https://example.org/a.png").url == "https://example.org/a.png"
    for source in (PNG_URI, PNG, path, str(path), Image(PNG)):
        assert Image(source).url == PNG_URI
    assert Image(url=PNG_URI) == Image.from_file(path) == Image.from_path(path) == Image(PNG)
    assert Image.model_validate("https://example.org/a.png") == Image.from_url("https://example.org/a.png")


def test_an_image_like_pillows_is_saved_into_a_data_uri() -> None:
    class Picture:
        mode = "RGB"
        format = None

        def save(self, buffer: io.BytesIO, format: str) -> None:
            buffer.write(PNG)

    assert Image.from_PIL(Picture()).url == PNG_URI


def test_an_image_is_a_content_part_and_its_repr_is_short() -> None:
    assert Image(PNG).format() == [{"type": "image_url", "image_url": {"url": PNG_URI}}]
    assert len(repr(Image(PNG))) < 100


@pytest.mark.parametrize("source", ["no such file", b"text", 3])
def test_what_is_no_image_is_refused(source: Any) -> None:
    with pytest.raises(ValueError):
        Image(source)


def test_sound_is_made_of_files_bytes_and_samples(tmp_path: Path) -> None:
    sound = Audio.from_array([0.0, 1.0, -1.0, 7.0], 8000)
    assert sound.audio_format == "wav"
    with wave.open(io.BytesIO(base64.b64decode(sound.data))) as read:
        assert (read.getframerate(), read.getnframes()) == (8000, 4)
        assert read.readframes(4)[6:8] == (32767).to_bytes(2, "little")
    path = tmp_path / "x.mp3"
    path.write_bytes(b"abc")
    assert Audio.from_file(path).format() == [{"type": "input_audio", "input_audio": {"data": "YWJj", "format": "mp3"}}]
    with pytest.raises(ValueError, match="sound"):
        Audio.from_file(tmp_path / "x.txt")


def test_a_file_is_content_or_an_id(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.4")
    (part,) = File.from_path(path).format()
    assert part["file"]["filename"] == "a.pdf"
    assert part["file"]["file_data"].startswith("data:application/pdf;base64,")
    assert File.from_file_id("f1").format() == [{"type": "file", "file": {"file_id": "f1"}}]
    with pytest.raises(ValueError, match="file_data"):
        File(filename="x")


def test_code_comes_out_of_its_fence_and_knows_its_language() -> None:
    python = Code["python"]
    assert python is Code["Python"]
    assert python.language == "python"
    for text in ("x = 1", "```python\nx = 1\n```", "Here:\n```py\nx = 1\n```\nDone."):
        assert python.parse_reply(text).code == "x = 1"
    assert str(python(code="x")) == "x"
    assert python.parse_reply(python(code="a\n\nb").format_reply()).code == "a\n\nb"
    assert "python" in python.description()
    assert pickle.loads(pickle.dumps(python(code="x"))) == python(code="x")
    assert pickle.loads(pickle.dumps(Code["c++"])) is Code["c++"]


def test_reasoning_behaves_as_text() -> None:
    thought = Reasoning("Think twice")
    assert thought == "Think twice"
    assert thought == Reasoning(content="Think twice")
    assert thought.upper() == "THINK TWICE"
    assert (len(thought), thought[:5], "twice" in thought, str(thought)) == (11, "Think", True, "Think twice")
    assert thought + "!" == "Think twice!"
    assert f"{'>'}{thought}" == ">Think twice"
    assert {thought: 1}[Reasoning("Think twice")] == 1
    with pytest.raises(AttributeError):
        thought.nonsense
    assert pickle.loads(pickle.dumps(thought)) == thought


def test_history_holds_messages_and_nothing_else() -> None:
    assert History(messages=[{"q": "a"}]).messages == [{"q": "a"}]
    with pytest.raises(ValueError):
        History(messages=[], other=1)  # type: ignore[call-arg]


def test_types_are_found_anywhere_in_an_annotation() -> None:
    class Page(BaseModel):
        picture: Image
        next: Page | None = None

    class Own(Type):
        x: int

    assert types_in(list[Image] | None) == [Image]
    assert types_in(dict[str, tuple[Page, Own]]) == [Image, Own]
    assert types_in(list[str]) == []
    assert Own.extract_custom_type_from_annotation(Own) == [Own]


def test_a_type_of_ones_own_reads_back_what_it_writes() -> None:
    class Own(Type):
        x: int

    assert Own.parse_reply(Own(x=3).format_reply()) == Own(x=3)
    assert Own(x=3).format() == '{"x":3}'
