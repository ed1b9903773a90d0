"""The window of replies against a list that is searched from end to end."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.commit_log import StoredReply
from adapters.reply_window import ReplyWindow

DIGEST = bytes(range(16))


def stored(request_id: str, at_ms: int = 0, reply: bytes = b"reply") -> StoredReply:
    """A reply as the loop keeps it."""
    return StoredReply(request_id, DIGEST, reply, at_ms)


def test_reply_is_found_as_it_was_kept() -> None:
    """Digest and reply share one object, so where one ends must be exact."""
    window = ReplyWindow(1_000, 10)
    for request_id, reply in (("r", b"reply"), ("empty", b""), ("large", b"x" * 100_000)):
        window.keep(stored(request_id, reply=reply))
        assert window.find(request_id) == (DIGEST, reply)
    assert window.find("unknown") is None
    assert len(window) == 3


def test_reply_is_kept_to_the_last_millisecond_of_the_window() -> None:
    """A caller that retries within the promised time must get its answer."""
    window = ReplyWindow(1_000, 10)
    window.keep(stored("old", 5_000))
    window.keep(stored("at the end", 6_000))
    assert window.find("old") is not None
    window.keep(stored("past the end", 6_001))
    assert window.find("old") is None
    assert window.find("at the end") is not None
    assert len(window) == 2


def test_replies_past_the_number_go_oldest_first() -> None:
    """Memory is bounded whatever the rate; the newest are the likeliest to be asked for."""
    window = ReplyWindow(1_000_000, 3)
    for number in range(10):
        window.keep(stored(f"r{number}", number))
    kept = [number for number in range(10) if window.find(f"r{number}")]
    assert (kept, len(window)) == ([7, 8, 9], 3)


def test_one_kept_reply_can_empty_the_window_of_all_others() -> None:
    """The first write after a quiet night drops everything that grew old meanwhile."""
    window = ReplyWindow(1_000, 1_000)
    for number in range(500):
        window.keep(stored(f"r{number}", number))
    window.keep(stored("morning", 28_800_000))
    assert len(window) == 1
    assert window.find("morning") is not None


def test_window_of_one_reply_keeps_the_last() -> None:
    """The least bound that settings allow still answers a retry sent at once."""
    window = ReplyWindow(1_000, 1)
    for number in range(3):
        window.keep(stored(f"r{number}", number))
        assert window.find(f"r{number}") is not None
        assert len(window) == 1


def test_id_that_was_dropped_may_be_kept_again() -> None:
    """An id used after its window is a new request, whose reply stays for a window of its own."""
    window = ReplyWindow(1_000, 10)
    window.keep(stored("r", 0, b"first"))
    window.keep(stored("other", 1_001))
    assert window.find("r") is None
    window.keep(stored("r", 1_002, b"second"))
    window.keep(stored("another", 2_002))
    assert window.find("r") == (DIGEST, b"second")


@given(
    window_ms=st.integers(1, 50),
    replies_max=st.integers(1, 8),
    gaps=st.lists(st.integers(0, 30), max_size=60),
    loaded=st.integers(0, 60),
)
def test_window_keeps_what_a_search_through_all_would_find(
    window_ms: int, replies_max: int, gaps: list[int], loaded: int
) -> None:
    """However replies come, from the log or from calls, the two bounds decide and nothing else."""
    everything = []
    now_ms = 0
    for number, gap_ms in enumerate(gaps):
        now_ms += gap_ms
        everything.append(stored(f"r{number}", now_ms, str(number).encode()))
    window = ReplyWindow(window_ms, replies_max)
    window.load(everything[:loaded])
    for item in everything[loaded:]:
        window.keep(item)
    expected = [item for item in everything[-replies_max:] if item.at_ms >= now_ms - window_ms]
    found = {item.request_id: window.find(item.request_id) for item in everything}
    assert {request_id for request_id, kept in found.items() if kept} == {
        item.request_id for item in expected
    }
    assert all(found[item.request_id] == (DIGEST, item.reply) for item in expected)
    assert len(window) == len(expected)
