#!/usr/bin/env bash
# debian-tree.sh SUITE DESTINATION KEEP PACKAGE...
# Packages of a Debian suite, with the libraries they need, unpacked into a private folder and made to run from there.
# Works as root and as an ordinary user; installs nothing, and leaves the system's packages and apt state alone.
# The mirror comes from the system's own apt sources; signatures are checked with Debian's keyring. KEEP is a regular
# expression on the names of package files: what apt downloads besides (perl and the like) is not unpacked.
# DESTINATION appears only when it is whole. Exit status 69: this machine cannot do it, and the text says why.
set -euo pipefail

readonly attempts=3
readonly lock_wait_seconds=900
readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg

unavailable() {
  printf 'debian-tree: %s\n' "$1" >&2
  printf 'The test servers come from Debian packages. Run the tests on Debian 12 or newer (a container of it will do).\n' >&2
  exit 69
}

# The first address in the system's apt sources whose line or stanza matches ($1 = "main" or "security").
mirror() {
  local wanted=$1 file
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -r "$file" ] || continue
    awk -v wanted="$wanted" -v keyring="$keyring" '
      BEGIN { RS = ""; FS = "\n" }
      {
        uri = ""; suites = ""; signed = ""
        for (i = 1; i <= NF; i++) {
          if ($i ~ /^URIs:/) { split($i, part, /[ \t]+/); uri = part[2] }
          if ($i ~ /^Suites:/) suites = $i
          if ($i ~ /^Signed-By:/) signed = $i
        }
        if (uri == "" || index(signed, "debian-archive") == 0) next
        kind = suites ~ /-security/ ? "security" : "main"
        if (kind == wanted) { print uri; exit }
      }' "$file"
  done
  [ -r /etc/apt/sources.list ] || return 0
  awk -v wanted="$wanted" '
    $1 == "deb" {
      sub(/\[[^]]*\] */, ""); kind = $3 ~ /-security/ ? "security" : "main"
      if ($2 ~ /debian/ && kind == wanted) { print $2; exit }
    }' /etc/apt/sources.list
}

main() {
  local suite=$1 destination keep=$3
  destination=$(realpath -m "$2")
  shift 3
  for tool in apt-get dpkg gpgv flock awk find; do
    command -v "$tool" >/dev/null || unavailable "the command \"$tool\" is missing"
  done
  [ -r "$keyring" ] || unavailable "the keyring \"$keyring\" is missing"

  mkdir -p "$(dirname "$destination")"
  exec 9>"$destination.lock"
  flock -w "$lock_wait_seconds" 9 || { echo "debian-tree: another run holds $destination.lock" >&2; exit 75; }
  [ -d "$destination" ] && exit 0

  work=$(mktemp -d "$destination.XXXXXX") # global, for the trap
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work"
  mkdir -p "$work"/state/lists/partial "$work"/cache/archives/partial "$work"/log "$work"/tree
  : >"$work/status"
  write_sources "$suite" >"$work/sources"
  write_settings >"$work/apt.conf"
  export APT_CONFIG=$work/apt.conf

  retried apt-get -c "$work/apt.conf" update -qq
  retried apt-get -c "$work/apt.conf" install -y -qq --download-only "$@"
  for package in "$work"/cache/archives/*.deb; do
    if [[ $(basename "$package") =~ $keep ]]; then dpkg-deb -x "$package" "$work/tree"; fi
  done
  point_at_own_libraries "$work/tree" "$destination"
  chmod -R u+rwX,go+rX "$work/tree"
  mv -T "$work/tree" "$destination"
}

write_sources() {
  local suite=$1 main_mirror security_mirror
  main_mirror=$(mirror main | head -n 1)
  [ -n "$main_mirror" ] || unavailable "no Debian mirror in the apt sources of this machine"
  echo "deb [signed-by=$keyring] $main_mirror $suite main"
  if [ "$suite" != sid ]; then
    security_mirror=$(mirror security | head -n 1)
    echo "deb [signed-by=$keyring] ${security_mirror:-${main_mirror%/}-security} $suite-security main"
  fi
}

write_settings() {
  cat <<END
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Log "$work/log";
Dir::Etc::sourcelist "$work/sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "$attempts";
Acquire::http::Timeout "60";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
END
}

retried() {
  local attempt
  for ((attempt = 1; attempt <= attempts; attempt++)); do
    if "$@" >"$work/log/apt" 2>&1; then return 0; fi
    sleep "$attempt"
  done
  echo "debian-tree: failed $attempts times: $*" >&2
  tail -n 20 "$work/log/apt" >&2
  exit 1
}

# Executables of another Debian release need that release's loader and libraries, by the place where they will stand.
point_at_own_libraries() {
  local tree=$1 final=$2 loader libraries file
  loader=$(loader_of "$tree")
  libraries=$(libraries_of "$tree")
  for file in "$tree"/usr/lib/postgresql/*/bin/* "$tree"/usr/sbin/pgbouncer; do
    [ -f "$file" ] && [ "$(head -c 4 "$file" | tail -c 3)" = ELF ] || continue
    run_patchelf "$tree" --set-interpreter "${loader/#"$tree"/"$final"}" \
      --force-rpath --set-rpath "${libraries//"$tree"/"$final"}" "$file"
  done
}

loader_of() {
  local candidate
  for candidate in "$1"/usr/lib/*-linux-gnu/ld-linux-*.so.? "$1"/lib/*-linux-gnu/ld-linux-*.so.?; do
    if [ -f "$candidate" ]; then echo "$candidate"; return; fi
  done
  echo "debian-tree: no loader among the packages" >&2
  return 1
}

libraries_of() {
  local folder list=
  for folder in "$1"/usr/lib/*-linux-gnu "$1"/lib/*-linux-gnu; do
    if [ -d "$folder" ]; then list=$list:$folder; fi
  done
  echo "${list#:}"
}

# CAIRN_PATCHELF_TREE names a tree of this script that holds patchelf; a tree that holds it itself needs none.
run_patchelf() {
  local tree=$1
  shift
  [ -x "$tree/usr/bin/patchelf" ] || tree=${CAIRN_PATCHELF_TREE:?names no tree with patchelf}
  "$(loader_of "$tree")" --library-path "$(libraries_of "$tree")" "$tree/usr/bin/patchelf" "$@"
}

[ $# -ge 4 ] || { echo "usage: debian-tree.sh SUITE DESTINATION KEEP PACKAGE..." >&2; exit 64; }
main "$@"
