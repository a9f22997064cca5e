# shellcheck shell=bash
# The pin, the cache folder and its locks. Sourced by fetch and build, never run.
#
# Cache layout, all of it safe to delete while nothing builds:
#   src/<git tree hash>   a llama.cpp checkout whose content is that tree
#   llama/<key>           installed headers, archives and, once asked for, peers
#   tree/<key>            the cmake build folder that made them, for peers and resumed builds
#   lock/                 lock files

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck disable=SC2034 # used by the scripts that source this file
root=$(dirname "$here")

say() { printf '%s: %s\n' "third_party/${0##*/}" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# pin NAME prints one value of the lock file.
pin() {
	local name value
	while IFS='=' read -r name value; do
		if [[ $name == "$1" ]]; then
			printf '%s\n' "$value"
			return
		fi
	done <"$here/llama.cpp.lock"
	die "llama.cpp.lock has no \"$1\""
}

# The folder's name ends up in #cgo lines, in cmake and in the linker's
# arguments. Those agree on how to read only plain characters.
cache=${JEANTRAIL_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or JEANTRAIL_CACHE}/.cache}/jeantrail-ai}
[[ $cache == /* ]] || die "the cache folder must be an absolute path, not \"$cache\"; set JEANTRAIL_CACHE"
[[ $cache =~ ^[A-Za-z0-9_./+@,:-]+$ ]] ||
	die "the cache folder \"$cache\" holds a space or another character that linkers misread; set JEANTRAIL_CACHE to a plain path"
mkdir -p "$cache"/{src,llama,tree,lock} || die "cannot create the cache folder \"$cache\"; set JEANTRAIL_CACHE to one that can be written"

# lock NAME holds $cache/lock/NAME until this process ends, and waits for
# another process that holds it. One lock per process.
lock() {
	local file=$cache/lock/$1 owner
	if command -v flock >/dev/null; then
		exec 9>"$file"
		flock -n 9 && return
		say "waiting for another build that holds $file"
		flock 9
		return
	fi
	# macOS has no flock. A folder is made by exactly one process; one whose
	# maker is gone was left by a killed build.
	until mkdir "$file.d" 2>/dev/null; do
		owner=$(cat "$file.d/pid" 2>/dev/null || true)
		if [[ -n $owner ]] && ! kill -0 "$owner" 2>/dev/null; then
			rm -rf "$file.d"
			continue
		fi
		say "waiting for process ${owner:-?} that holds $file.d"
		sleep 2
	done
	echo $$ >"$file.d/pid"
	held_lock=$file.d
}

scratch=
held_lock=
cleanup() {
	[[ -z $scratch ]] || rm -rf "$scratch"
	[[ -z $held_lock ]] || rm -rf "$held_lock"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# new_scratch makes $scratch inside the cache, so that the last step of any
# work there is a rename within one filesystem.
new_scratch() { scratch=$(mktemp -d "$cache/$1.XXXXXX") || die "cannot write to \"$cache\""; }
