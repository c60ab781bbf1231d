#!/bin/sh
# What the service kept goes with it, and so does its user.
rm -rf /var/lib/ksyun-tap /run/ksyun-tap
deluser ksyun-tap 2>/dev/null || true
delgroup ksyun-tap 2>/dev/null || true
