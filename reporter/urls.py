"""URLs that are shown or kept: without the user and the password that they may hold."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^/?#\s]*@")


def without_user(text: str) -> str:
    """The text, with ``user:password@`` taken out of each URL in it."""
    return _USER.sub("", text)
