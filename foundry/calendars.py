"""Calendars: weekly hours and closed dates as merged opening intervals in whole seconds (C2)."""

from __future__ import annotations

import datetime as dt

import numpy as np
import numpy.typing as npt

from foundry.scenario import Calendar

DAY = 86_400
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def openings(calendar: Calendar, start_date: dt.date, limit_s: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Opening and closing seconds, merged and ascending, covering [0, limit_s).

    Hours that run past midnight belong to the day they begin on; a closed date is shut from 00:00 to 24:00.
    """
    spans = [_span(text) for text in calendar.hours]
    shut = {(date - start_date).days for date in calendar.closed}
    merged: list[list[int]] = []
    for day in range(-1, limit_s // DAY + 1):
        if WEEKDAYS[(start_date.weekday() + day) % 7] not in calendar.days:
            continue
        for begin, end in sorted(spans):
            for a, b in _without(day * DAY + begin, day * DAY + end, shut):
                a, b = max(a, 0), min(b, limit_s)
                if a >= b:
                    continue
                if merged and a <= merged[-1][1]:
                    merged[-1][1] = max(merged[-1][1], b)
                else:
                    merged.append([a, b])
    pairs = np.array(sorted(merged), dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def _span(text: str) -> tuple[int, int]:
    begin, end = (int(t[:2]) * 3600 + int(t[3:]) * 60 for t in text.split("-"))
    return begin, end if end > begin else end + DAY


def _without(begin: int, end: int, shut: set[int]) -> list[tuple[int, int]]:
    """Parts of [begin, end) that do not lie on a shut day."""
    parts = []
    while begin < end:
        midnight = (begin // DAY + 1) * DAY
        if begin // DAY not in shut:
            parts.append((begin, min(end, midnight)))
        begin = midnight
    return parts
