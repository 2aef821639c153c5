"""Text metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.evaluate._metrics import EM, F1, answer_exact_match, answer_passage_match, f1_score, normalize_text
from dspex.primitives import Example, Prediction


def test_case_punctuation_articles_and_blanks_do_not_count():
    assert normalize_text("  The  quick, brown FOX!\n") == "quick brown fox"
    assert normalize_text("theory of a thing") == "theory of thing"


def test_composed_and_decomposed_accents_are_equal():
    assert normalize_text("caf\u00e9") == normalize_text("cafe\u0301")


@given(st.text())
def test_normalizing_twice_changes_nothing_unless_an_article_appears(text):
    once = normalize_text(text)
    assert once == " ".join(once.split())


@given(st.text(), st.text())
def test_f1_is_symmetric_and_between_0_and_1(one, other):
    assert 0.0 <= f1_score(one, other) == f1_score(other, one) <= 1.0


def test_f1_counts_words_as_a_multiset():
    assert f1_score("cat cat dog", "cat dog bird") == pytest.approx(2 / 3)
    assert f1_score("x", "y") == 0.0
    assert f1_score("", "the") == 1.0
    assert f1_score("", "word") == 0.0


def test_any_of_several_answers_will_do():
    assert EM("The Eiffel Tower", ["Big Ben", "eiffel tower"])
    assert not EM("Louvre", ["Big Ben", "eiffel tower"])
    assert F1("eiffel", ["x", "eiffel tower"]) == pytest.approx(2 / 3)


def test_a_bare_text_or_no_answer_is_refused():
    with pytest.raises(TypeError):
        EM("a", "a")
    with pytest.raises(ValueError):
        F1("a", [])


def test_exact_match_reads_example_and_prediction():
    pred = Prediction(answer="Paris.")
    assert answer_exact_match(Example(answer="paris"), pred)
    assert answer_exact_match(Example(answer=["London", "Paris"]), pred)
    assert not answer_exact_match(Example(answer="Paris, France"), pred)
    assert answer_exact_match(Example(answer="Paris, France"), pred, frac=0.6)


def test_passage_match_wants_whole_words_in_a_row():
    pred = Prediction(context=["He was born in New York City.", "Nothing."])
    assert answer_passage_match(Example(answer="new york"), pred)
    assert answer_passage_match(Example(answer=["Rome", "the New York"]), pred)
    assert not answer_passage_match(Example(answer="York New"), pred)
    assert not answer_passage_match(Example(answer="or"), pred)
    assert not answer_passage_match(Example(answer=""), pred)
