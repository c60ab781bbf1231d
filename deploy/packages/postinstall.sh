#!/bin/sh
# After installation or upgrade, on Debian and Red Hat. Nothing is enabled or
# started that was not: what a proxy listens on and taps is for its owner to say.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart ksyun-tap.service
fi
