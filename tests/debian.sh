#!/usr/bin/env bash
# Unpacks Debian packages, with dependencies that are not installed, into FOLDER. Installs nothing, needs no root.
#
#     eval "$(tests/debian.sh FOLDER PACKAGE...)"
#
# Prints the variables needed to use them: PATH, LD_LIBRARY_PATH, PKG_CONFIG_PATH, PKG_CONFIG_SYSROOT_DIR, and PYTHONPATH if there is
# Python among them. Named packages are unpacked even if they are installed. A folder that already has them is left alone. Install
# scripts (users, services, special permissions) do not run.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 FOLDER PACKAGE..." >&2; exit 2; }
folder=$(realpath -m "$1")
shift

if [ "$(cat "$folder/packages" 2>/dev/null)" != "$*" ]; then
    for program in apt-get dpkg; do
        command -v $program >/dev/null || { echo "$0: \`$program\` is missing; this needs Debian or a derivative" >&2; exit 1; }
    done
    state=$folder/apt
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    # Sources and installed packages of the system, our own lists and downloads.
    options=(-qq -o Dir::State::lists="$state/lists" -o Dir::State::status=/var/lib/dpkg/status
        -o Dir::State::extended_states="$state/extended" -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" -o Dir::Log="$state"
        -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)")
    apt-get "${options[@]}" update >&2
    apt-get "${options[@]}" install --yes --download-only --reinstall --no-install-recommends "$@" >&2
    # Merged /usr as on current systems; older packages still contain top-level folders.
    mkdir -p "$folder/usr"
    for top in bin sbin lib lib64; do
        mkdir -p "$folder/usr/$top"
        [ -e "$folder/$top" ] || ln -s "usr/$top" "$folder/$top"
    done
    for package in "$state"/archives/*.deb; do
        dpkg --fsys-tarfile "$package" | tar -x -C "$folder" --keep-directory-symlink --no-same-owner
    done
    # Absolute links point into this folder if their target exists here.
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
