"""An iterator run ahead in a background thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """The same items, up to `depth` of them made ahead of time (the one being made included); an error of the source
    is raised in its place.

    Closing the iterator, or dropping it, stops the thread and closes the source.
    """
    ready: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
    room, stopped = threading.Semaphore(depth), threading.Event()
    thread = threading.Thread(target=_fill, args=(items, ready, room, stopped), name="shard-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise item  # type: ignore[misc]
            room.release()
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        room.release()
        thread.join()


def _fill(
    items: Iterator[T],
    ready: queue.SimpleQueue[tuple[str, object]],
    room: threading.Semaphore,
    stopped: threading.Event,
) -> None:
    try:
        while True:
            room.acquire()
            if stopped.is_set():
                return
            try:
                ready.put(("item", next(items)))
            except StopIteration:
                ready.put(("end", None))
                return
    except BaseException as error:
        ready.put(("error", error))
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
