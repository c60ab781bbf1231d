#!/bin/sh
# Removes the service's state and its user.
rm -rf /var/lib/ksyun-tap /run/ksyun-tap
deluser ksyun-tap 2>/dev/null || true
delgroup ksyun-tap 2>/dev/null || true
