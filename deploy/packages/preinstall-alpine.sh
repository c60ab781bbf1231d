#!/bin/sh
# Adds the service's user. Only rc-service and rc-update add start the service.
set -e
addgroup -S ksyun-tap 2>/dev/null || true
adduser -S -D -H -h /var/lib/ksyun-tap -s /sbin/nologin -G ksyun-tap ksyun-tap 2>/dev/null || true
