#!/bin/sh
# run.sh DIR [RUN]
# Runs TestLittleMemory, or those of its loads that RUN matches, in a virtual machine whose
# cgroups are of version 2. DIR keeps the kernel, and what the machine printed.
set -eu
umask 022
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$1 run=${2:-.} memory=6G

need() { command -v "$1" >/dev/null || { echo "$0: there is no $1: apt-get install $2" >&2; exit 1; }; }
need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
if ldd "$(command -v busybox)" >/dev/null 2>&1; then
  echo "$0: busybox is not static: apt-get install busybox-static" >&2
  exit 1
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# Debian's kernel for virtual machines, from the package sources that this machine is set up with.
if [ ! -e "$dir/vmlinuz" ]; then
  command -v apt-get >/dev/null || { echo "$0: without Debian's package sources, it needs a kernel as $dir/vmlinuz" >&2; exit 1; }
  rm -rf "$dir/package" && mkdir "$dir/package" && cd "$dir/package"
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p')
  [ -n "$package" ] || { echo "$0: no package source has linux-image-cloud-amd64" >&2; exit 1; }
  apt-get download "$package" || { echo "$0: $package is not to be had: apt-get update" >&2; exit 1; }
  dpkg-deb -x ./*.deb .
  mv boot/vmlinuz-* ../vmlinuz
  cd .. && rm -r package
fi

files=$dir/files
rm -rf "$files" && mkdir -p "$files/bin" "$files/etc/ssl/certs"
export CGO_ENABLED=0 GOARCH=amd64
go build -C "$root" -trimpath -ldflags="-s -w" -o "$files/ksyun-tap" ./cmd/ksyun-tap
go test -C "$root/test" -vet=off -c -tags e2e -ldflags="-s -w" -o "$files/e2e.test" ./e2e
cp "$(command -v busybox)" "$files/bin/busybox"
cp "$root/test/littlememory/init.sh" "$files/init"
cp /etc/ssl/certs/ca-certificates.crt "$files/etc/ssl/certs/"
echo "127.0.0.1 localhost" >"$files/etc/hosts"

# A processor without support for virtual machines may have a /dev/kvm for kernels made for it only.
if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
  accel="-accel kvm -cpu host" settings=
else
  # Emulated, TLS is slow, and slower with the instructions that are made for it. 350 programs
  # are more than the tap allows.
  accel="-accel tcg,thread=multi -cpu qemu64"
  settings="E2E_PATIENCE=10m E2E_LITTLE_TLS_PROGRAMS=350 E2E_LITTLE_TLS_HANDSHAKES=8 E2E_LITTLE_TLS_BYTES=262144"
fi
echo "export $settings RUN='TestLittleMemory/$run'" >"$files/settings"
(cd "$files" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$dir/initramfs"
rm -r "$files"

# The first serial port is for the kernel, the second for the test.
# shellcheck disable=SC2086 # $accel is several words
nice qemu-system-x86_64 -nodefaults -display none -no-reboot -smp 2 -m $memory $accel \
  -kernel "$dir/vmlinuz" -initrd "$dir/initramfs" -append "console=ttyS0 quiet panic=-1" \
  -serial "file:$dir/kernel.log" -serial stdio </dev/null |
  tee "$dir/test.log" | awk '
    /^=== RUN/ { name = $3; sub(".*/", "", name) }
    /: peak /  { sub(".*: peak ", ""); printf "%-16s %s\n", name, $0; fflush() }
    /--- FAIL/ { print; fflush() }'
rm "$dir/initramfs"

if grep "Killed process" "$dir/kernel.log"; then
  echo "$0: out of memory: see $dir/kernel.log and $dir/test.log" >&2
  exit 1
fi
grep -qx "exit status 0" "$dir/test.log" || { echo "$0: it failed: see $dir/test.log" >&2; exit 1; }
