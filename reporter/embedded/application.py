"""openstack-placement as a WSGI application that shares a process with others of its kind.

openstack-placement keeps its database, its policy and "the standard traits are in the database" in module
globals: one process, one database. Here every application has its own, and puts them in place for the
length of a request, one request at a time in the whole process. That costs nothing where it matters: SQLite
takes one writer at a time, and Python runs one thread at a time.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic.util
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import enginefacade
from placement import conf as placement_conf
from placement import db_api, deploy, policy
from placement.objects import resource_class, trait
from sqlalchemy import URL
from sqlalchemy import exc as sqlalchemy_exception

from reporter.embedded.database import explain
from reporter.embedded.errors import EmbeddedPlacementError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: Guards openstack-placement's module globals.
_GLOBALS = threading.RLock()


class PlacementApplication:
    """One Placement: a WSGI application below ``prefix``; 404 everywhere else.

    :param application: openstack-placement's own application
    :param manager: the connections to this one's database
    :param enforcer: the policy of this one
    """

    def __init__(self, application: WSGIApplication, state: _Globals, prefix: str) -> None:
        self._application = application
        self._state = state
        self._prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, while every other application of the process waits."""
        path = environ.get("PATH_INFO", "")
        if path != self._prefix and not path.startswith(f"{self._prefix}/"):
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return []
        environ["SCRIPT_NAME"] = self._prefix
        environ["PATH_INFO"] = path.removeprefix(self._prefix)
        with self._state.in_place():
            # Joined here, because a lazy body would be made after the globals are someone else's again.
            return [b"".join(self._application(environ, start_response))]

    def close(self) -> None:
        """Close the connections to the database."""
        self._state.manager.dispose_pool()


class _Globals:
    """What openstack-placement keeps in module globals, for one database."""

    def __init__(self, database: Path, *, durable: bool) -> None:
        self.manager = enginefacade.transaction_context()
        self.manager.configure(
            connection=URL.create("sqlite", database=str(database.absolute())),
            sqlite_synchronous=durable,
            # oslo.db would try again for a minute where there is nothing to wait for.
            max_retries=0,
        )
        self.enforcer: Any = None

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Hold the globals of the process; whoever had set them finds them as they were."""
        with _GLOBALS:
            restore = db_api.placement_context_manager.patch_factory(self.manager)
            previous = policy._ENFORCER  # noqa: SLF001 - openstack-placement offers no other way to it
            policy._ENFORCER = self.enforcer  # noqa: SLF001 - the same
            try:
                yield
            finally:
                self.enforcer = policy._ENFORCER  # noqa: SLF001 - the same
                policy._ENFORCER = previous  # noqa: SLF001 - the same
                restore()


def load_application(database: Path, prefix: str, *, durable: bool) -> PlacementApplication:
    """Upgrade ``database`` to the schema, the traits and the classes of the installed openstack-placement.

    :param prefix: the path below which the application answers, with a leading slash
    :param durable: whether a commit waits for the disk
    :raises EmbeddedPlacementError: the upgrade failed
    """
    state = _Globals(database, durable=durable)
    try:
        with _explained(database), state.in_place():
            trait._TRAITS_SYNCED = False  # noqa: SLF001 - as openstack-placement's own fixtures do
            resource_class._RESOURCE_CLASSES_SYNCED = False  # noqa: SLF001 - the same
            application = deploy.loadapp(_configuration())
    except BaseException:
        state.manager.dispose_pool()
        raise
    return PlacementApplication(application, state, prefix)


def _configuration() -> cfg.ConfigOpts:
    """openstack-placement's configuration, of nothing but its defaults and what an embedded one needs."""
    conf = cfg.ConfigOpts()
    placement_conf.register_opts(conf)
    conf.set_override("auth_strategy", "noauth2", group="api")
    # Required, but not used: the connections are made in _Globals.
    conf.set_override("connection", "sqlite://", group="placement_database")
    conf.set_override("sync_on_startup", True, group="placement_database")
    # The policy in code; never the policy file of a Placement that is installed on this host.
    conf.set_override("policy_file", "/dev/null", group="oslo_policy")
    conf.set_override("policy_dirs", [], group="oslo_policy")
    conf([], project="placement", default_config_files=[], default_config_dirs=[])
    return conf


@contextlib.contextmanager
def _explained(database: Path) -> Iterator[None]:
    try:
        yield
    except alembic.util.CommandError as error:
        raise EmbeddedPlacementError(
            f"{database} was written by a newer openstack-placement: {error}",
            "name another file with --embedded=FILE, or upgrade: pip install --upgrade openstack-placement",
        ) from error
    except (db_exception.DBError, sqlalchemy_exception.DBAPIError, sqlite3.Error) as error:
        raise explain(database, _sqlite_error(error)) from error


def _sqlite_error(error: BaseException) -> sqlite3.Error:
    """SQLite's own error, found below what oslo.db and SQLAlchemy have wrapped around it."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, sqlite3.Error):
        inner = getattr(inner, "inner_exception", None) or getattr(inner, "orig", None) or inner.__cause__
    return inner if inner is not None else sqlite3.Error(str(error))
