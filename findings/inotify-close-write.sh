#!/bin/sh
# A file can change without IN_CLOSE_WRITE (truncate by path), and without IN_MODIFY (through mapped memory).
#
# Seen with Linux 6.18.44 and ext4, by inotify_simple 2.0.1 (PyPI) on Python 3.11.7.
#
# From memory: a writer opens, changes and closes a file, so that IN_MODIFY tells that someone has begun, and the
# IN_CLOSE_WRITE that follows that it is whole; who waits for the second after the first never reads half a file.
# Seen: truncate(2) takes a path and opens nothing: IN_MODIFY alone, and no close ever. ftruncate(2) by a descriptor, which
# looks the same in most code (`os.truncate` of Python takes either), has both. Bytes stored through a shared mapping come
# without IN_MODIFY, and IN_CLOSE_WRITE comes when the mapping goes, not when the descriptor is closed. And a file that is
# opened for writing and closed untouched has IN_CLOSE_WRITE alone.
#
# Why a gateway cares: it reads certificates, configuration and modules again when they change. To wait for the close
# without an end is to miss such a change for good. Witgate's watcher keeps from IN_MODIFY on that a file is being
# written, and gives up waiting after a time (gateway/server/src/watch/events.rs).
#
# Prints, and exits with 1 where that changes:
#   truncate by path: MODIFY
#   ftruncate: MODIFY CLOSE_WRITE
#   mapped, stored, descriptor closed: nothing
#   mapping closed: CLOSE_WRITE
#   opened and closed: CLOSE_WRITE
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check inotify_simple==2.0.1
mkdir "$work/watched"
cat >"$work/main.py" <<'PYTHON'
import mmap
import os
import sys

from inotify_simple import INotify, flags

folder = sys.argv[1]
path = os.path.join(folder, "file")
with open(path, "wb") as file:
    file.write(b"0123456789")
inotify = INotify()
inotify.add_watch(folder, flags.MODIFY | flags.CLOSE_WRITE)
seen = []


def note(what):
    # All of it is there by now: events are queued by the call that causes them. The timeout only ends an empty read.
    names = [flag.name for event in inotify.read(timeout=200) for flag in flags.from_mask(event.mask)]
    seen.append(f"{what}: {' '.join(names) or 'nothing'}")


os.truncate(path, 8)
note("truncate by path")
descriptor = os.open(path, os.O_RDWR)
os.ftruncate(descriptor, 4)
os.close(descriptor)
note("ftruncate")
descriptor = os.open(path, os.O_RDWR)
mapped = mmap.mmap(descriptor, 4)
os.close(descriptor)
mapped[:] = b"abcd"
mapped.flush()
assert open(path, "rb").read() == b"abcd"
note("mapped, stored, descriptor closed")
mapped.close()
note("mapping closed")
os.close(os.open(path, os.O_WRONLY))
note("opened and closed")
print("\n".join(seen))
expected = [
    "truncate by path: MODIFY",
    "ftruncate: MODIFY CLOSE_WRITE",
    "mapped, stored, descriptor closed: nothing",
    "mapping closed: CLOSE_WRITE",
    "opened and closed: CLOSE_WRITE",
]
sys.exit(seen != expected)
PYTHON
"$work/venv/bin/python" "$work/main.py" "$work/watched"
