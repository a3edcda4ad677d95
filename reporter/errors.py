"""The exceptions of the reporter, all of them two lines for people: what, and what to do.

ExplainedError
└── ReporterError
    ├── UsageError              the command line cannot be understood
    ├── ConfigurationError      an option or a file of options is wrong
    ├── StateError              the state directory cannot be used
    │   └── StateLocked         another process is writing
    ├── AdoptionNeeded          the provider exists and we did not make it
    ├── IdentityError           the uuid and the name of a node contradict what Placement has
    ├── InvalidWish             the driver wants what Placement would refuse
    ├── StalePlan               what a saved plan touches has changed since
    └── PlacementError          see reporter.placement.errors
"""

from __future__ import annotations

from provider_tree.errors import ExplainedError


class ReporterError(ExplainedError):
    """Any error of the reporter."""


class UsageError(ReporterError):
    """The command line cannot be understood."""


class ConfigurationError(ReporterError):
    """An option or a configuration file is wrong; the message names file, group and option."""


class StateError(ReporterError):
    """The state directory cannot be read or written."""


class StateLocked(StateError):
    """Another process holds the state directory; the message names it."""


class AdoptionNeeded(ReporterError):
    """A provider of that name or uuid exists in Placement, and this state directory did not make it."""


class IdentityError(ReporterError):
    """What the host says of itself and what Placement has cannot both be right."""


class InvalidWish(ReporterError):
    """The driver's tree has records that Placement would refuse or that would break scheduling."""


class StalePlan(ReporterError):
    """A record that a saved plan touches has changed since the plan was made."""
