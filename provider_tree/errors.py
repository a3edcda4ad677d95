"""The exceptions of this package, and the one base that errors of the whole project share.

ExplainedError
├── InvalidTree        a document or a tree that Placement would refuse
└── UnsupportedChange  a change between two trees that no sequence of legal requests makes
"""

from __future__ import annotations


class ExplainedError(Exception):
    """What went wrong in one line, and what to do about it in another.

    :param what: one line, without a full stop
    :param advice: one line that says what the reader can do; may be empty
    """

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice


class InvalidTree(ExplainedError, ValueError):
    """A document or a tree that Placement would refuse."""


class UnsupportedChange(ExplainedError):
    """Two trees whose difference no sequence of legal requests can make."""
