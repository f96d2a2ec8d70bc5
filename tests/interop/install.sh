#!/usr/bin/env bash
# Installs the clients that tests/interop.rs drives: Debian's aria2, Transmission, qBittorrent, rTorrent and mktorrent,
# libtorrent's Python binding in a virtual environment, and rqbit, which cargo builds (some minutes, the first time).
# For Debian and its kin, as root; safe to run again.
#
# BTGET_INTEROP_HOME says where the last two go (default: target/interop beside Cargo.toml).
set -euo pipefail

repository=$(cd "$(dirname "$0")/../.." && pwd)
home=${BTGET_INTEROP_HOME:-$repository/target/interop}
packages=(aria2 transmission-cli qbittorrent-nox rtorrent mktorrent iproute2 python3-venv)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = 'ii ' ] || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "install.sh: ${missing[*]} must be installed, which takes root: run it with sudo" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt_get() { apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@"; }
  apt_get update
  apt_get install -y --no-install-recommends "${missing[@]}" >/dev/null
fi

[ -x "$home/bin/python" ] || python3 -m venv "$home"
"$home/bin/python" -c 'import libtorrent' 2>/dev/null ||
  "$home/bin/python" -m pip install --quiet --disable-pip-version-check 'libtorrent==2.1.1'

# Not optimized: that would take three times as long, and its speed is of no interest here.
[ -x "$home/bin/rqbit" ] || CARGO_TARGET_DIR="$home/rqbit" cargo install --quiet --locked --debug \
  --no-default-features --features rust-tls rqbit --version 9.1.0 --root "$home"
rm -rf "$home/rqbit"

echo "libtorrent       $("$home/bin/python" -c 'import libtorrent; print(libtorrent.__version__)')"
dpkg-query -W -f '${Package;-16} ${Version}\n' aria2 transmission-cli qbittorrent-nox rtorrent mktorrent
"$home/bin/rqbit" --version
