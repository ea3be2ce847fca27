#!/bin/sh
# Installs the Debian packages that Picket's sections need and that are missing:  docker/setup.sh SECTION...
#
# The list is packages.txt beside this script. Nothing missing: asks dpkg once and is done. Otherwise the packages are installed as root or
# through sudo; with neither, the apt-get line to run is printed and the exit status is 1. Debian 12 has no yyjson and Debian 13 no libh2o:
# the list's "borrow" lines name those few packages, and they come from the other release, which gets priority 1 for everything else, so
# that nothing else moves.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
list=$here/packages.txt

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "setup: this is not Debian: install what docker/packages.txt lists by other means"
    exit 0
fi
# shellcheck disable=SC1091 # /etc/os-release is the machine's
release=$(. /etc/os-release && echo "${ID:-debian}-${VERSION_ID:-13}")

# A program may lie where only PostgreSQL's own tools look for it.
have_program() {
    command -v "$1" >/dev/null 2>&1 && return
    [ "$1" = postgres ] || return 1
    for bin in /usr/lib/postgresql/1[5-9]/bin/postgres /usr/lib/postgresql/[2-9][0-9]/bin/postgres; do
        [ ! -x "$bin" ] || return 0
    done
    return 1
}

# The packages of the given sections that this release has and whose condition holds.
wanted() {
    while read -r section package condition; do
        case " $sections " in *" $section "*) ;; *) continue ;; esac
        case $condition in
        "" | "$release") ;;
        have:*) ! have_program "${condition#have:}" || continue ;;
        debian-*) continue ;;
        *) die "packages.txt: unknown condition '$condition'" ;;
        esac
        echo "$package"
    done <"$list"
}

# Of the words on stdin, those that dpkg does not have installed.
not_installed() {
    words=$(cat)
    [ -n "$words" ] || return 0
    # shellcheck disable=SC2086 # a list of words
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $words 2>/dev/null | sed -n 's/^installed //p') || true
    for p in $words; do
        printf '%s\n' "$installed" | grep -qxF "$p" || echo "$p"
    done
}

# ---- as root from here

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# The Signed-By of the apt entry that `file:number` names: a line of a .list, a stanza of a .sources. Empty when it has none; a key that is
# written into the stanza itself is replaced by Debian's keyring file, which holds the same keys.
signed_by() {
    file=${1%:*} number=${1##*:}
    case $file in
    *.sources)
        awk -v n="$number" 'BEGIN { RS = ""; FS = "\n" } NR == n { for (i = 1; i <= NF; i++) if (tolower($i) ~ /^signed-by:/) { sub(/^[^:]*:[ \t]*/, "", $i)
            print $i ~ /^\// ? $i : "/usr/share/keyrings/debian-archive-keyring.gpg" } }' "$file"
        ;;
    *) sed -n "${number}s/.*signed-by=\([^] ]*\).*/\1/p" "$file" ;;
    esac
}

# Makes the packages of `other` (a release's name) available, for the named packages only, from the mirror that this machine uses already.
borrow_from() {
    other=$1
    shift
    # shellcheck disable=SC1091
    own=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # apt's own placeholders
    entry=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(ORIGIN) $(REPO_URI) $(SOURCESENTRY)' 'Created-By: Packages' |
        sed -n "s/^$own main Debian //p" | head -n 1)
    [ -n "$entry" ] || die "no apt source for Debian $own main was found, so there is no mirror to take $* of $other from"
    uri=${entry% *} key=$(signed_by "${entry##* }")
    if [ ! -e "/usr/share/keyrings/debian-archive-$other-automatic.gpg" ] && [ ! -e "/usr/share/keyrings/debian-archive-$other-automatic.pgp" ]; then
        apt install --no-install-recommends debian-archive-keyring
    fi
    say "setup: taking $* from Debian $other ($uri); nothing else comes from there"
    mkdir -p /etc/apt/sources.list.d /etc/apt/preferences.d
    cat >"/etc/apt/preferences.d/picket-$other" <<EOF
# Only these packages come from Debian $other. Written by Picket's docker/setup.sh.
Package: *
Pin: release o=Debian, n=$other
Pin-Priority: 1

Package: $*
Pin: release o=Debian, n=$other
Pin-Priority: 500
EOF
    {
        echo "# Written by Picket's docker/setup.sh; see preferences.d/picket-$other."
        echo "Types: deb"
        echo "URIs: $uri"
        echo "Suites: $other"
        echo "Components: main"
        [ -z "$key" ] || echo "Signed-By: $key"
    } >"/etc/apt/sources.list.d/picket-$other.sources"
    apt update -o Dir::Etc::sourcelist="/etc/apt/sources.list.d/picket-$other.sources" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0
}

# Whether apt could install the package now.
available() {
    case $(apt-cache policy "$1" | sed -n 's/^ *Candidate: //p') in "" | "(none)") return 1 ;; esac
}

install_packages() {
    say "setup: installing $*"
    apt update
    grep "^borrow $release " "$list" | while read -r _ _ other names; do
        for name in $names; do
            case " $* " in *" $name "*) ;; *) continue ;; esac
            available "$name" && continue
            # shellcheck disable=SC2086 # a list of words
            borrow_from "$other" $names
        done
    done
    # Debian's postgresql would start a server of its own for the whole machine. Picket runs its own, so there is no need for one.
    if [ ! -e /etc/postgresql-common ]; then
        mkdir -p /etc/postgresql-common/createcluster.d
        echo "create_main_cluster = false # written by Picket's docker/setup.sh, before the first postgresql package came" \
            >/etc/postgresql-common/createcluster.d/picket.conf
    fi
    apt install --no-install-recommends "$@"
}

if [ "${1-}" = --install ]; then
    shift
    install_packages "$@"
    exit 0
fi

[ $# -gt 0 ] || die "usage: docker/setup.sh SECTION... (build run database test lint ci)"
sections=$*
for section in $sections; do
    grep -q "^$section " "$list" || die "packages.txt has no section '$section'"
done
missing=$(wanted | not_installed | tr '\n' ' ')
missing=${missing% }
[ -n "$missing" ] || exit 0

# shellcheck disable=SC2086 # a list of words
if [ "$(id -u)" = 0 ]; then
    install_packages $missing
    exit 0
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    say "setup: installing through sudo: $missing"
    sudo -- sh "$here/setup.sh" --install $missing && exit 0
fi
say "setup: these packages are missing. As root, run:"
say "    apt-get install --no-install-recommends $missing"
sed -n "s/^borrow $release //p" "$list" | while read -r other names; do
    for name in $names; do
        case " $missing " in *" $name "*) available "$name" || say "($name is in Debian $other only: run $0 $sections as root instead, it makes it available)" ;; esac
    done
done
exit 1
