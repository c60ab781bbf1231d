#!/bin/sh
# After removal. The service's state, in particular the CA's key, is removed when
# Debian purges the package. Red Hat has no purge, so there it is removed with the
# last version.
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
