"""The text of an answer, told apart by field, however it is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dspex.serve._pieces import FieldPieces

values = st.text(st.sampled_from("ab[]# \n"), min_size=1, max_size=12).filter(
    lambda text: "[[ ##" not in text and text.strip()
)


def read(pieces: list[str], fields: tuple[str, ...] = ("one", "two")) -> dict[str, str]:
    reader = FieldPieces(fields)
    told: dict[str, str] = {}
    for field, text in [*(each for piece in pieces for each in reader.feed(piece)), *reader.close()]:
        assert text
        told[field] = told.get(field, "") + text
    return told


@given(values, values, st.lists(st.integers(1, 7), min_size=1))
def test_the_pieces_of_a_field_make_its_value_wherever_the_answer_is_cut(
    first: str, second: str, sizes: list[int]
) -> None:
    answer = f"[[ ## one ## ]]\n{first}\n\n[[ ## two ## ]]\n{second}\n\n[[ ## completed ## ]]"
    pieces, at = [], 0
    while at < len(answer):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(answer[at : at + size])
        at += size
    assert read(pieces) == {"one": first.strip(), "two": second.strip()}


def test_what_is_before_the_first_marker_or_of_no_field_is_not_told() -> None:
    assert read(["Sure! [[ ## hidden ## ]]\nno\n[[ ## one ## ]]\nyes"]) == {"one": "yes"}
    assert read(["no markers at all"]) == {}


def test_text_is_told_as_soon_as_it_cannot_be_part_of_a_marker() -> None:
    reader = FieldPieces(("one",))
    assert list(reader.feed("[[ ## one ## ]]\nHello")) == [("one", "Hello")]
    assert list(reader.feed(" [[ #")) == []
    assert list(reader.feed("x")) == [("one", " [[ #x")]
