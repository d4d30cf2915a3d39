#!/bin/sh
# Submit a job to a spool: sh submit.sh SPOOL [COMMAND]; without COMMAND it is read from stdin.
# Wants what POSIX has, and two things more: `sync FILE` (coreutils 8.24) and /dev/urandom.
set -u
spool=$1
if [ -g "$spool/tmp" ]; then umask 007; else umask 077; fi # a group's spool, or one's own

# The bytes of stdin as a JSON string: POSIX awk reads no control characters, od does.
quote() {
    od -An -v -tu1 | LC_ALL=C awk '
        BEGIN { printf "\"" }
        { for (i = 1; i <= NF; i++)
            if ($i < 32 || $i == 34 || $i == 92) printf "\\u%04x", $i
            else printf "%c", $i + 0 }
        END { printf "\"" }'
}

id=$(od -An -v -N16 -tx1 /dev/urandom | tr -d ' \n')
[ ${#id} -eq 32 ] || exit 1
made=$spool/tmp/$id.json
trap 'rm -f "$made"' EXIT
trap 'exit 1' HUP INT TERM

set -C # `>` creates exclusively
{
    printf '{"id": "%s", "command": ' "$id"
    if [ $# -gt 1 ]; then printf %s "$2"; else cat; fi | quote
    printf '}\n'
} >"$made" &&
    iconv -f UTF-8 -t UTF-8 "$made" >/dev/null && # whatever the command was, JSON is UTF-8
    [ "$(tail -c 2 "$made")" = '}' ] &&           # a full disk is not told by every awk
    sync "$made" &&                               # the data
    ln "$made" "$spool/pending/" &&               # a new name, and never over another
    rm "$made" &&
    sync "$spool/pending" && # the name
    printf '%s\n' "$id"
