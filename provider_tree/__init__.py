"""Trees of resource providers: the data that drivers fill in and that is compared with Placement's.

No I/O, no clock, no logging.
"""

from .change import Action, Change, Changes, Kind
from .diff import diff
from .document import from_document, to_document
from .errors import ExplainedError, InvalidTree, UnsupportedChange
from .lint import Finding, lint
from .provider import Provider, ProviderData
from .source import Source
from .tree import ProviderSubTree, ProviderTree

__all__ = [
    "Action",
    "Change",
    "Changes",
    "ExplainedError",
    "Finding",
    "InvalidTree",
    "Kind",
    "Provider",
    "ProviderData",
    "ProviderSubTree",
    "ProviderTree",
    "Source",
    "UnsupportedChange",
    "diff",
    "from_document",
    "lint",
    "to_document",
]
