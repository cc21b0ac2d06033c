#!/usr/bin/env bash
# Unpacks Debian packages, and what they need beyond what is installed, into FOLDER. Installs nothing, needs no root.
#
#     eval "$(tests/debian.sh FOLDER PACKAGE...)"
#
# Prints the variables with which what lies there is found: PATH, LD_LIBRARY_PATH, PKG_CONFIG_PATH, PKG_CONFIG_SYSROOT_DIR, and
# PYTHONPATH where there is Python among it. Packages that are named come even where they are installed. A folder that holds them
# already is left as it is. What packages do when they are installed (users, services, rights beyond the owner's) is not done.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 FOLDER PACKAGE..." >&2; exit 2; }
folder=$(realpath -m "$1")
shift

if [ "$(cat "$folder/packages" 2>/dev/null)" != "$*" ]; then
    for program in apt-get dpkg; do
        command -v $program >/dev/null || { echo "$0: \`$program\` is missing; this takes Debian or what comes of it" >&2; exit 1; }
    done
    state=$folder/apt
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    # The system's sources and its list of what is installed; lists and packages of our own.
    options=(-qq -o Dir::State::lists="$state/lists" -o Dir::State::status=/var/lib/dpkg/status
        -o Dir::State::extended_states="$state/extended" -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" -o Dir::Log="$state"
        -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)")
    apt-get "${options[@]}" update >&2
    apt-get "${options[@]}" install --yes --download-only --reinstall --no-install-recommends "$@" >&2
    # As today's systems have them; older packages still bring files for the folders at the top.
    mkdir -p "$folder/usr"
    for top in bin sbin lib lib64; do
        mkdir -p "$folder/usr/$top"
        [ -e "$folder/$top" ] || ln -s "usr/$top" "$folder/$top"
    done
    for package in "$state"/archives/*.deb; do
        dpkg --fsys-tarfile "$package" | tar -x -C "$folder" --keep-directory-symlink --no-same-owner
    done
    # Links that lead to the system's root lead to this one where that has what they name.
    find "$folder" -path "$state" -prune -o -type l -lname '/*' -print | while read -r link; do
        there=$(readlink "$link")
        [ ! -e "$folder$there" ] || ln -sfnr "$folder$there" "$link"
    done
    rm -r "$state"
    echo "$*" >"$folder/packages"
fi

kind=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || cc -print-multiarch 2>/dev/null || echo "$(uname -m)-linux-gnu")
libraries=$folder/usr/lib/$kind:$folder/usr/lib
cat <<END
export PATH='$folder/usr/bin:$folder/usr/sbin':"\$PATH"
export LD_LIBRARY_PATH='$libraries'"\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export PKG_CONFIG_PATH='$folder/usr/lib/$kind/pkgconfig:$folder/usr/share/pkgconfig'
export PKG_CONFIG_SYSROOT_DIR='$folder'
END
python=$folder/usr/lib/python3/dist-packages
[ ! -d "$python" ] || echo "export PYTHONPATH='$python'\"\${PYTHONPATH:+:\$PYTHONPATH}\""
