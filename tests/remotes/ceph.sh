#!/usr/bin/env bash
# Remotes in Ceph buckets: its S3 gateway (RGW) in front of a cluster with one monitor and one OSD in memory, on loopback, in a folder that is
# deleted at the end. Sixteen processes race for a key in COUNT rounds (20), in a bucket with versioning and in one without.
#
#     tests/remotes/ceph.sh [COUNT]
#
# Ceph comes from Debian packages, unpacked under target/ (tests/debian.sh). Nothing is installed, and it needs no root. It fails if an S3 test
# fails, and prints last how many of the processes that tried to create a key wrote it.
set -euo pipefail
count=${1:-20}
repository=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$repository/$target ;; esac
macula=${MACULA:-}
if [ -z "$macula" ]; then
    (cd "$repository" && cargo build --locked --release --quiet)
    macula=$target/release/macula
fi
macula=$(realpath "$macula")
venv=$target/ci/venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$repository/tests/remotes/requirements.txt"

packages=$target/ceph
found=$("$repository/tests/debian.sh" "$packages" ceph-mon ceph-osd radosgw ceph-common)
libraries=$(dirname "$(find "$packages/usr/lib" -name librados.so.2 -print -quit)")
folder=$(mktemp -d "${TMPDIR:-/tmp}/macula-ceph-XXXXXX")
daemons=()

stop() {
    trap - EXIT INT TERM
    for signal in TERM KILL; do
        for daemon in "${daemons[@]}"; do kill -$signal "$daemon" 2>/dev/null || true; done
        for _ in $(seq 50); do
            kill -0 "${daemons[@]}" 2>/dev/null || break
            sleep 0.1
        done
    done
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

lost() {
    echo "ceph: $*" >&2
    for said in "$folder"/*.log; do [ ! -s "$said" ] || { echo "-- $(basename "$said")" >&2; tail -n 10 "$said" >&2; }; done
    exit 1
}

# Replaces the shell by a Ceph program, with its own libraries and Python.
become() {
    eval "$found"
    export LD_LIBRARY_PATH=$libraries/ceph:$LD_LIBRARY_PATH CEPH_CONF=$folder/ceph.conf
    exec "$@"
}

ceph() { (become "$@"); }

start() {
    become "$@" >>"$folder/said.log" 2>&1 &
    daemons+=($!)
}

# Waits until a command succeeds.
until_it() {
    for _ in $(seq 300); do
        for daemon in "${daemons[@]}"; do kill -0 "$daemon" 2>/dev/null || lost "a daemon ended"; done
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.2
    done
    lost "waited a minute for: $*"
}

free_port() { "$venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

mkdir "$folder"/{mon,osd,rgw}
fsid=$(cat /proc/sys/kernel/random/uuid)
monitor=$(free_port)
gateway=$(free_port)
cat >"$folder/ceph.conf" <<END
[global]
fsid = $fsid
mon host = v2:127.0.0.1:$monitor
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
# Without this, the gateway accepts only encrypted connections, which need keys.
ms mon client mode = crc secure
plugin dir = $libraries/ceph
erasure code dir = $libraries/ceph/erasure-code
osd class dir = $libraries/rados-classes
run dir = $folder
crash dir = $folder
admin socket =
pid file =
keyring = $folder/keyring
log file = $folder/\$name.log
mon cluster log file = $folder/cluster.log
mon data = $folder/mon
osd data = $folder/osd
rgw data = $folder/rgw
osd objectstore = memstore
memstore device bytes = 2147483648
# There is only one OSD.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
rgw frontends = beast endpoint=127.0.0.1:$gateway
END

began=$SECONDS
version=$(ceph radosgw --version)
ceph ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph ceph-authtool "$folder/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' >/dev/null
ceph monmaptool --create --addv a "[v2:127.0.0.1:$monitor]" --fsid "$fsid" "$folder/map" >/dev/null
ceph ceph-mon --mkfs -i a --monmap "$folder/map" --keyring "$folder/keyring"
start ceph-mon -f -i a
ceph ceph-osd --mkfs -i 0 --osd-uuid "$(cat /proc/sys/kernel/random/uuid)" >>"$folder/said.log" 2>&1
until_it ceph ceph --connect-timeout 20 osd new "$(cat "$folder/osd/fsid")" 0
start ceph-osd -f -i 0
is_up() { ceph ceph --connect-timeout 20 osd stat | grep -q '1 up'; }
until_it is_up
start radosgw -f -n client.rgw
until_it "$venv/bin/python" -c "import socket; socket.create_connection(('127.0.0.1', $gateway))"
ceph radosgw-admin user create --uid=tests --display-name=tests --access-key=key --secret-key=a-secret-that-nobody-may-read >>"$folder/said.log"
echo "$version, up after $((SECONDS - began)) s"

export FIGURES=$folder/figures
MACULA=$macula MACULA_S3=http://127.0.0.1:$gateway ROUNDS=$count NO_PROXY=127.0.0.1 \
    "$venv/bin/python" -m pytest -q --basetemp="$folder/tests" "$repository/tests/remotes" -k s3

echo "$version, $count rounds, $((SECONDS - began)) s"
sort "$FIGURES" | uniq -c
