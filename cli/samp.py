"""Tables to other programs on this desktop (TOPCAT, Aladin, DS9, …), by SAMP."""

from pathlib import Path
from tempfile import NamedTemporaryFile

from pyvo.samp import SAMPClientError, SAMPHubError, SAMPIntegratedClient, SAMPProxyError

from common.errors import UnavailableError

MESSAGE = "table.load.votable"


def broadcast(votable: str, title: str) -> list[str]:
    """Send a VOTable to every program that loads tables, and return the names of these programs.

    They read it from a temporary file, which stays: a program may take its time.

    Raises
    ------
    UnavailableError
        If no SAMP hub runs, or no program there loads tables.
    """
    client = SAMPIntegratedClient(
        name="chandra-search",
        description="Semantic search over Chandra X-ray spectra",
        addr="127.0.0.1",
        callable=False,
    )
    try:
        client.connect()
        try:
            listeners = [str(one) for one in client.get_subscribed_clients(MESSAGE)]
            if listeners:
                client.notify_all(_load(_kept(votable), title))
            return _names(client, listeners)
        finally:
            client.disconnect()
    except (SAMPHubError, SAMPClientError, SAMPProxyError, OSError) as exc:
        raise UnavailableError(
            f"--samp: no SAMP hub answers ({exc}): start TOPCAT, which brings one, then ask again"
        ) from exc


def _names(client: SAMPIntegratedClient, listeners: list[str]) -> list[str]:
    if not listeners:
        raise UnavailableError(
            "--samp: a SAMP hub runs, but no program there loads tables: start TOPCAT, ask again"
        )
    return [str(client.get_metadata(one).get("samp.name", one)) for one in listeners]


def _kept(votable: str) -> Path:
    with NamedTemporaryFile(
        "w", encoding="utf-8", prefix="chandra-search-", suffix=".vot", delete=False
    ) as file:
        file.write(votable)
    return Path(file.name)


def _load(path: Path, title: str) -> dict[str, object]:
    url = path.resolve().as_uri()
    return {
        "samp.mtype": MESSAGE,
        "samp.params": {"url": url, "table-id": url, "name": f"chandra-search: {title}"},
    }
