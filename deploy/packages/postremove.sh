#!/bin/sh
# After removal. What the service kept, the CA's key above all, goes when
# Debian purges; Red Hat has no purge: there it goes with the last version.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case "$1" in
purge | 0)
	rm -rf /var/lib/private/ksyun-tap /var/lib/ksyun-tap /run/private/ksyun-tap /run/ksyun-tap
	;;
esac
case "$1" in
purge)
	rm -rf /etc/ksyun-tap
	;;
esac
