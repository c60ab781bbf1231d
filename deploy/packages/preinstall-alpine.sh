#!/bin/sh
# The service's user. It is started by rc-service, or rc-update add, alone.
set -e
addgroup -S ksyun-tap 2>/dev/null || true
adduser -S -D -H -h /var/lib/ksyun-tap -s /sbin/nologin -G ksyun-tap ksyun-tap 2>/dev/null || true
