"""What stands in a line of a terminal, by its width."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.evaluate import FailureKind
from dspex.evaluate._line import SEPARATOR, count_of, lay_out
from dspex.evaluate._progress import Progress
from dspex.evaluate._render import ProgressBar, progress_parts


def progress():
    far = Progress(5000, 0.0)
    far.scored, far.score_sum, far.failed, far.retries = 812, 700, 14, 31
    far.counts.update({FailureKind.OUTAGE: 9, FailureKind.MALFORMED_OUTPUT: 5})
    far.calls, far.tokens, far.cost = 900, 412345, 1.2345
    return far


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (10, "826/5000 16%"),
        (40, "826/5000 16% · score 86.2 · 14 failed"),
        (60, "826/5000 16% · score 86.2 · 14 failed · 3:22 left"),
        (80, "826/5000 16% · score 86.2 · 14 failed · 3:22 left · 22.5 calls/s · 412.3k tokens"),
        (100, "826/5000 16% · score 86.2 · 14 failed · 3:22 left · 22.5 calls/s · 412.3k tokens · $1.2345"),
        (
            160,
            "826/5000 16% · score 86.2 · 14 failed (9 outage, 5 malformed_output) · 3:22 left · 22.5 calls/s"
            " · 412.3k tokens · $1.2345 · 31 retries",
        ),
    ],
)
def test_the_narrower_it_is_the_more_goes_from_the_end(width, text):
    assert lay_out("Evaluate", count_of(826, 5000), progress_parts(progress(), 40.0), width).text == text


def test_the_bar_goes_before_the_title_and_the_title_before_what_is_told():
    lines = [lay_out("Run", "1/2 50%", ["x"], width) for width in (50, 22, 21, 15, 14)]
    assert [(line.title, line.bar) for line in lines] == [("Run", 24), ("Run", 6), ("Run", 0), ("Run", 0), ("", 0)]


@given(st.text("ab", max_size=9), st.lists(st.text("xyz", min_size=1, max_size=9)), st.integers(8, 80))
def test_a_line_is_never_wider_than_it_may_be(title, parts, width):
    line = lay_out(title, "1/2 50%", parts, width)
    assert len(line.text) + line.bar + bool(line.bar) + len(line.title) + bool(line.title) <= width
    assert line.text.startswith("1/2 50%")
    told = line.text.split(SEPARATOR)[1:]
    assert told == parts[: len(told)]


def test_it_says_100_percent_when_all_is_done():
    assert [count_of(done, 1000) for done in (0, 999, 1000)] == ["0/1000 0%", "999/1000 99%", "1000/1000 100%"]
    assert count_of(0, 0) == "0/0"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_bar_draws_one_line_of_the_terminals_width(monkeypatch, width):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with ProgressBar("Evaluate", out) as bar:
        bar.update(progress(), 40.0)
    assert "826/5000 16%" in out.getvalue()
    assert "score 86.2" in out.getvalue()
    assert "\x1b[1A" not in out.getvalue()  # a line that was wrapped would have to be gone back over


def test_a_terminal_that_has_gone_away_ends_the_drawing_only():
    class Gone(io.StringIO):
        def isatty(self):
            return True

        def write(self, text):
            raise OSError(5, "Input/output error")

    with ProgressBar("Evaluate", Gone()) as bar:
        bar.update(progress(), 40.0)
        bar.update(progress(), 41.0)
