#!/bin/sh
# Before a removal, not before an upgrade: Debian passes "remove", Red Hat 0.
set -e
case "$1" in
remove | 0)
	if command -v systemctl >/dev/null; then
		units="ksyun-tap-redirect.service ksyun-tap.socket ksyun-tap.service"
		if [ -d /run/systemd/system ]; then
			systemctl stop $units
		fi
		systemctl --quiet disable $units
	fi
	;;
esac
