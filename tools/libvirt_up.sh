#!/usr/bin/env bash
# Starts a libvirtd to test with, where one is installed, none runs, and we are root. Says nothing when all is well.
set -u
answers() { timeout 10 virsh -q -c qemu:///system version </dev/null >/dev/null 2>&1; }
left_out() { echo "$1: its tests are left out"; exit 0; }

command -v libvirtd >/dev/null && command -v virsh >/dev/null || left_out "libvirtd is not installed"
answers && exit 0
[ "$(id -u)" -eq 0 ] || left_out "libvirtd does not answer on qemu:///system"
if [ -d /run/systemd/system ]; then
  systemctl start libvirtd >/dev/null 2>&1
else
  # A container without udev: /dev/kvm is root's alone, and libvirt forgets what QEMU can do at every call.
  grep -q '^user = "root"' /etc/libvirt/qemu.conf 2>/dev/null ||
    printf 'user = "root"\ngroup = "root"\n' >>/etc/libvirt/qemu.conf
  virtlogd --daemon --pid-file /run/virtlogd.pid >/dev/null 2>&1
  libvirtd --daemon --pid-file /run/libvirtd.pid >/dev/null 2>&1
fi
for _ in $(seq 30); do
  answers && exit 0
  sleep 1
done
left_out "libvirtd does not answer on qemu:///system"
