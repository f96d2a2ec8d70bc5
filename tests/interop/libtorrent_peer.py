"""A libtorrent client that stays until it is killed.

usage: libtorrent_peer.py HOST:PORT [--dial HOST:PORT] [--upload-limit BYTES_PER_SECOND] TORRENT DIR [TORRENT DIR ...]

Listens at HOST:PORT, checks what each DIR already has and fetches the rest, from the peer that it dials until it
gets through or from whoever comes. Prints "complete TORRENT" when a torrent has all its data.
"""

import argparse
import time

import libtorrent

parser = argparse.ArgumentParser()
parser.add_argument("listen")
parser.add_argument("--dial")
parser.add_argument("--upload-limit", type=int, default=0)
parser.add_argument("torrents", nargs="+")
options = parser.parse_args()

session = libtorrent.session({
    "listen_interfaces": options.listen,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # Each dialling by uTP to a peer without it takes seconds before TCP has its turn.
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "active_limit": 100,
    "active_seeds": 100,
    "active_downloads": 100,
    "alert_mask": 0,
})
pending = {}
for path, folder in zip(options.torrents[::2], options.torrents[1::2]):
    parameters = libtorrent.add_torrent_params()
    parameters.ti = libtorrent.torrent_info(path)
    parameters.save_path = folder
    parameters.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
    pending[path] = session.add_torrent(parameters)
    # The session's own limit leaves out peers of the local network.
    pending[path].set_upload_limit(options.upload_limit)

torrents = list(pending.values())
next_dial = 0
while True:
    for path, torrent in list(pending.items()):
        if torrent.status().is_seeding:
            del pending[path]
            print("complete", path, flush=True)
    # Not more often: a new wish to dial ends the fall-back from the encrypted handshake to the plain one.
    if options.dial and time.monotonic() >= next_dial:
        next_dial = time.monotonic() + 2
        host, port = options.dial.rsplit(":", 1)
        for torrent in torrents:
            if torrent.status().num_peers == 0:
                torrent.connect_peer((host, int(port)))
    time.sleep(0.2 if pending else 1)
