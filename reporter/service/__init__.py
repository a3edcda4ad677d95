"""The service: one cycle after the other for all nodes of a driver, until it is told to stop."""

from reporter.service.loop import Service
from reporter.service.stopping import StoppableClient, Stopped

__all__ = ["Service", "StoppableClient", "Stopped"]
