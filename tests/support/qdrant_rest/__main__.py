"""Serve the part of Qdrant's REST API that `ServerStore` uses, from Edge shards, for tests only.

No Qdrant server can be installed from the package registries, and an embedded shard belongs to
one process. Started as ``python -m qdrant_rest DATA_DIR``, this prints its URL and then answers any
number of processes over real HTTP with the engine's own results. It keeps its data over a kill when
it is started on the same folder again (``DATA_DIR PORT``), and does not optimise, shard or
authenticate. ``DATA_DIR PORT REPLICAS`` keeps everything several times and reads by turns, as a
cluster does.
"""

import socket
import sys
from pathlib import Path

import uvicorn
from qdrant_rest.api import create_api


def main():
    port, n_replicas = (int(given) for given in (*sys.argv[2:4], *("0", "1")[len(sys.argv) - 2 :]))
    listener = socket.create_server(("127.0.0.1", port))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(create_api(Path(sys.argv[1]), n_replicas), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
