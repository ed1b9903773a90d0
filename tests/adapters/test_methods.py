"""What the services share: pages."""

from adapters.methods import PAGE_BYTES_MAX, fitting, ids_after
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import ListQueuesResponse


def sized(bytes_: int) -> Queue:
    """A queue that is about as large as said."""
    return Queue(queue_id="q" * bytes_)


def test_page_ends_before_it_grows_too_large() -> None:
    """A peer with gRPC's usual bound of 4 MiB must be able to read it."""
    items = [sized(1_000)] * 5_000
    page = fitting(items)
    assert len(page) < len(items)
    size = ListQueuesResponse(queues=page).ByteSize()
    assert PAGE_BYTES_MAX - 6_000 < size <= PAGE_BYTES_MAX


def test_page_holds_one_item_however_large() -> None:
    """A page without items would be asked for again and again."""
    large = sized(PAGE_BYTES_MAX + 1)
    assert fitting([large, sized(1)]) == [large]
    assert fitting([sized(1), large]) == [sized(1)]


def test_page_of_few_items_holds_all() -> None:
    """What fits is not held back."""
    assert fitting([sized(1), sized(2)]) == [sized(1), sized(2)]
    assert fitting([]) == []


def test_ids_after_a_token_begin_behind_it_whether_or_not_it_is_still_there() -> None:
    """The last item of a page may be deleted before the next page is asked for."""
    assert ids_after({"c", "a", "b"}, "") == ["a", "b", "c"]
    assert ids_after({"c", "a", "b"}, "a") == ["b", "c"]
    assert ids_after({"c", "b"}, "a") == ["b", "c"]
    assert ids_after({"c"}, "c") == []
