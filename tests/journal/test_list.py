import time

import pytest

from sora_mcp.errors import InvalidArgument
from sora_mcp.journal import Journal
from sora_mcp.models import TaskReport

pytestmark = pytest.mark.anyio


async def prompts(journal, **arguments):
    return [order.prompt for order in (await journal.list(**arguments)).orders]


async def test_an_empty_book_has_one_empty_page(journal):
    assert await journal.list() == ((), None)


async def test_the_newest_comes_first_whatever_the_clock_says(journal, accepted, clock):
    for prompt in ("one", "two", "three"):
        await accepted(prompt)
        clock.now -= 1_000
    assert await prompts(journal) == ["three", "two", "one"]


async def test_pages_stay_right_while_new_orders_arrive(journal, accepted):
    for number in range(7):
        await accepted(f"clip {number}")
    first = await journal.list(limit=3)
    await accepted("late")
    second = await journal.list(limit=3, before=first.next_cursor)
    third = await journal.list(limit=3, before=second.next_cursor)
    seen = [order.prompt for page in (first, second, third) for order in page.orders]
    assert seen == [f"clip {number}" for number in reversed(range(7))]
    assert third.next_cursor is None


async def test_a_full_last_page_has_no_next(journal, accepted):
    for number in range(4):
        await accepted(f"clip {number}")
    assert (await journal.list(limit=4)).next_cursor is None
    assert (await journal.list(limit=4, query="clip")).next_cursor is None
    page = await journal.list(limit=2, query="clip")
    assert await prompts(journal, limit=2, query="clip", before=page.next_cursor) == ["clip 1", "clip 0"]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "1 OR 1=1", "9" * 30, "\u0661"])
async def test_what_is_no_cursor_is_refused(journal, cursor):
    with pytest.raises(InvalidArgument, match="before is not a cursor"):
        await journal.list(before=cursor)


async def test_orders_that_are_no_videos_are_left_out(journal, new_order, accepted):
    rejected, absent, sending = new_order("rejected"), new_order("absent"), new_order("sending")
    for order in (rejected, absent, sending):
        await journal.begin(order, daily_seconds=0)
    await journal.reject(rejected.order_id, "code", "words")
    await journal.mark_unconfirmed(absent.order_id)
    await journal.mark_absent(absent.order_id)
    await accepted("accepted")
    assert await prompts(journal) == ["accepted", "sending"]
    assert await prompts(journal, query="e") == ["accepted", "sending"]


async def test_a_status_narrows_the_list(journal, accepted, new_order):
    await accepted("waiting")
    done = await accepted("done")
    await journal.record(TaskReport(done.id, "completed"))
    lost = new_order("lost")
    await journal.begin(lost, daily_seconds=0)
    await journal.mark_unconfirmed(lost.order_id)
    for status, expected in [
        ("queued", ["waiting"]),
        ("completed", ["done"]),
        ("unconfirmed", ["lost"]),
        ("failed", []),
    ]:
        assert await prompts(journal, status=status) == expected
    assert await prompts(journal, status="completed", query="done") == ["done"]
    assert await prompts(journal, status="queued", query="done") == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("RIVER", True),
        ("überfluss", True),
        ("STRASSE", True),
        ("cafe\u0301", True),
        ("ﬁsh", True),
        ("Ⅻ", True),
        ("灯", True),
        ("ивАН", True),
        ("  river \n strasse ", True),
        ("strasse river", True),
        ("", True),
        (" \t", True),
        ("100%", True),
        ("snow_man", True),
        ("[x]", True),
        ("what?", True),
        ("a*b", True),
        ("river absent", False),
        ("r%r", False),
        ("r_ver", False),
        ("r?ver", False),
        ("r*er", False),
        ("[r]iver", False),
        ("'; DROP TABLE orders; --", False),
        ("cafe", False),
    ],
)
async def test_a_search_finds_all_words_in_any_case_and_takes_them_literally(journal, accepted, query, found):
    await accepted("River Straße Überfluß CAFÉ fish XII 灯笼 Иван 100% snow_man [x] what? a*b")
    assert bool((await journal.list(query=query)).orders) is found


async def test_a_search_may_be_long_but_not_endless(journal, accepted):
    words = " ".join(f"w{number}" for number in range(200))
    await accepted(words)
    assert len((await journal.list(query=words)).orders) == 1
    assert (await journal.list(query="w1" + "*" * 998)).orders == ()
    with pytest.raises(InvalidArgument, match="query is longer than 1000 characters"):
        await journal.list(query="x" * 1_001)


async def test_a_search_in_10000_orders_takes_at_most_20_ms(journal, accepted, path):
    await accepted(" ".join(f"w{number % 97}" for number in range(160)))
    connection = journal._store._connection
    columns = [name for (_, name, *_) in connection.execute("PRAGMA table_info(orders)")]
    values = ["CAST(n AS TEXT)" if name == "order_id" else name for name in columns if name != "seq"]
    numbers = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 9999)"
    connection.execute(
        f"INSERT INTO orders ({', '.join(columns[1:])}) {numbers} SELECT {', '.join(values)} FROM n, orders"  # noqa: S608 - names of columns
    )
    connection.execute(f"INSERT INTO prompts {numbers} SELECT n + 1, folded FROM n, prompts")  # noqa: S608 - a constant
    reader = Journal(path)
    await reader.list()
    for query in ("nothing like it", "w5 w6 nowhere", "w96 w1", None):
        took = []
        for _ in range(40):
            start = time.process_time()  # of this process alone: the machine may be busy with others
            await reader.list(query=query, limit=50)
            took.append(time.process_time() - start)
        assert sorted(took)[37] <= 0.020
    await reader.aclose()
