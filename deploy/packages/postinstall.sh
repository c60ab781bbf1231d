#!/bin/sh
# After an installation or upgrade, on Debian and Red Hat. It does not enable or start
# the service, because the owner must decide what a proxy listens on and taps.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart ksyun-tap.service
fi
