#!/bin/sh
# The first process of a machine: gives it its own view of this computer, says "ready", and stays.
#
#   machine_init.sh DIR CGROUP
#
# Starts inside new network, mount and process namespaces. DIR is the machine's disk: what it writes to /etc,
# /opt, /var/lib and /var/log lands there and is there again after a reboot. CGROUP (CLUSTER/MACHINE) is its part of
# every cgroup hierarchy.
set -eu
dir=$1
cgroup=$2
stage=${3:-mounts}

# One line per hierarchy this kernel has in use: the name of its mount and the options that mount it.
hierarchies() {
    while IFS=: read -r _ controllers _; do
        case $controllers in
        '') echo "unified cgroup2 rw" ;;
        name=*) echo "${controllers#name=} cgroup none,$controllers" ;;
        *) echo "$controllers cgroup $controllers" ;;
        esac
    done </proc/self/cgroup
}

# With version 2 alone there is one hierarchy, mounted where otherwise all of them are.
mount_cgroups() {
    if [ "$(hierarchies)" = "unified cgroup2 rw" ]; then
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    hierarchies | while read -r name type options; do
        mkdir "/sys/fs/cgroup/$name"
        mount -t "$type" -o "$options" cgroup "/sys/fs/cgroup/$name"
    done
}

# Hands all controllers on to a cgroup's children.
delegate() {
    for controller in $(cat "$1/cgroup.controllers"); do
        echo "+$controller" >"$1/cgroup.subtree_control" || true
    done
}

enter_cgroups() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        delegate /sys/fs/cgroup
        mkdir -p "/sys/fs/cgroup/$cgroup"
        delegate "/sys/fs/cgroup/${cgroup%/*}"
        echo 0 >"/sys/fs/cgroup/$cgroup/cgroup.procs"
        return
    fi
    for hierarchy in /sys/fs/cgroup/*; do
        at=$hierarchy
        for part in "${cgroup%/*}" "${cgroup#*/}"; do
            # A cpuset takes nobody in before it has processors and memory.
            above=$at at=$at/$part
            mkdir -p "$at"
            for file in cpuset.cpus cpuset.mems; do
                if [ -e "$at/$file" ]; then cat "$above/$file" >"$at/$file"; fi
            done
        done
        echo 0 >"$at/cgroup.procs"
    done
}

overlay() {
    name=$(echo "${1#/}" | tr / -)
    mkdir -p "$dir/$name/upper" "$dir/$name/work"
    mount -t overlay -o "lowerdir=$1,upperdir=$dir/$name/upper,workdir=$dir/$name/work" overlay "$1"
}

own() {
    mkdir -p "$dir/$2" "$1"
    mount --bind "$dir/$2" "$1"
}

if [ "$stage" = mounts ]; then
    mount --make-rprivate /
    # Copies of others' pins and namespaces would keep them alive after their owners are gone.
    while read -r _ at type _; do
        case $type in nsfs | bpf) umount -l "$at" ;; esac
    done </proc/mounts
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount_cgroups
    enter_cgroups
    umount -R /sys/fs/cgroup
    # From here on the machine's cgroups are the roots.
    exec unshare --cgroup sh "$0" "$dir" "$cgroup" own
fi

mount_cgroups
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    # Only a cgroup without processes of its own can hand on controllers.
    mkdir -p /sys/fs/cgroup/init
    echo 0 >/sys/fs/cgroup/init/cgroup.procs
    delegate /sys/fs/cgroup
fi
mount -t bpf -o mode=700 bpf /sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns
overlay /etc
overlay /opt
overlay /var/lib
own /var/log log
own /var/lib/kubelet kubelet
own /var/lib/containerd containerd
mount --make-rshared /

# Whoever ignores this signal has no zombies: the kernel reaps what the machine's daemons leave behind.
trap '' CHLD
echo ready
exec sleep infinity >/dev/null
