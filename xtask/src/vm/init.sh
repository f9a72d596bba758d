#!/bin/busybox sh
# init of the virtual machine: mounts, modules, then /payload; its output and exit code go to the second serial port.
export PATH=/bin:/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /run/netns
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs trace /sys/kernel/tracing
mount -t cgroup2 cgroup /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
hostname vm
while read -r module; do
    insmod "/lib/modules/$module" || echo "module $module does not load"
done </lib/modules/order
ip link set lo up
exec >/dev/ttyS1 2>&1 </dev/null
# Line ends as they are, without a carriage return.
stty -F /dev/ttyS1 -opost
read -r up _ </proc/uptime
echo "NETPOL-VM-UP $(uname -r) after ${up} s"
cd /root
/payload
echo "NETPOL-VM-EXIT $?"
sync
poweroff -f
