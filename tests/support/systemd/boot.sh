#!/usr/bin/env bash
# A throw-away host whose PID 1 is a real systemd: boot.sh FOLDER SHARED ...
#
# Namespaces over a copy-on-write overlay of this machine's own root: what is written in there is gone with it. Only the
# folders SHARED are the real ones, at the same paths; the network is this machine's own. FOLDER is for its own use.
# When it has booted, "PID N" is printed: the process of systemd, whose namespaces commands can enter. The end of
# stdin ends it. Needs root, unshare and systemd.
set -euo pipefail
box=$1
shift
umask 022 # whatever that of the caller: the users of this host must be able to read what it is made of
if [[ ${BOX:-} != "$box" ]]; then
  export BOX=$box
  exec unshare --mount --propagation private bash "${BASH_SOURCE[0]}" "$box" "$@"
fi

cat >"$box/init" <<'INIT'
set -e
# Cgroups of its own: below those of the machine both systemds would take each other's services for their own.
if [[ -d $BOX/cgroup ]] && echo 0 >"$BOX/cgroup/cgroup.procs"; then
  of_its_own=1
fi
exec unshare --cgroup bash "$BOX/init-root" "${of_its_own:-}" "$@"
INIT

cat >"$box/init-root" <<'INIT'
set -e
of_its_own=$1
shift
mount --make-rprivate /
mount -t tmpfs -o size=4g,mode=755 tmpfs "$BOX/scratch"
mkdir "$BOX/scratch/upper" "$BOX/scratch/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$BOX/scratch/upper,workdir=$BOX/scratch/work" "$BOX/root"
# In a container or with a resolver of systemd's these are from elsewhere than the root.
for name in resolv.conf hosts; do
  cp --dereference "/etc/$name" "$BOX/$name" || : >"$BOX/$name"
done
cd "$BOX/root"
mount -t proc proc proc
mount --rbind /sys sys
[[ -z $of_its_own ]] || mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
for name in resolv.conf hosts; do
  rm -f "etc/$name"
  install -m 0644 "$BOX/$name" "etc/$name"
done
# A daemon that this machine itself has or had is none of this host's.
rm -rf ".${HOME:-/root}/.config/maestro-daemon" ".${HOME:-/root}/.local/state/maestro-daemon" etc/maestro-daemon \
  etc/systemd/system/maestro-daemon* var/lib/maestro-daemon var/lib/private/maestro-daemon opt/maestro-daemon
for shared in "$@"; do
  mkdir -p ".$shared"
  mount --bind "$shared" ".$shared"
done
cat >etc/systemd/system/box.target <<TARGET
[Unit]
Description=Throw-away test host
Requires=sysinit.target
Wants=dbus.socket systemd-journald.service
After=sysinit.target
AllowIsolate=yes
TARGET
# Hardware and this machine's own services stay outside.
for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
  systemd-udev-trigger.service systemd-modules-load.service systemd-sysctl.service systemd-binfmt.service \
  proc-sys-fs-binfmt_misc.automount systemd-remount-fs.service systemd-tmpfiles-setup-dev.service \
  systemd-random-seed.service systemd-hwdb-update.service dev-hugepages.mount dev-mqueue.mount \
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
  systemd-timesyncd.service systemd-journald-audit.socket tmp.mount; do
  ln -sf /dev/null "etc/systemd/system/$unit"
done
mkdir -p old
pivot_root . old
umount -l /old
# As a booted machine has it: without this the credentials of a service do not reach it.
mount --make-rshared /
exec env -i PATH="$PATH" container=test-box /lib/systemd/systemd --system --unit=box.target \
  --log-target=console --show-status=0
INIT

mkdir -p "$box/scratch" "$box/root" "$box/cgroups"
# Where the machine lets no cgroup be made, its own are shared.
if mount -t cgroup2 cgroup2 "$box/cgroups" 2>"$box/boot.log"; then
  here=$box/cgroups$(sed -n 's/^0:://p' /proc/self/cgroup)
  if [[ -e $here/cgroup.procs ]] && own=$(mktemp -d "${here%/}/test-box.XXXXXX" 2>>"$box/boot.log"); then
    chmod 755 "$own"
    ln -s "$own" "$box/cgroup"
  fi
fi

setsid unshare --mount --pid --ipc --uts --fork --mount-proc \
  bash "$box/init" "$@" >>"$box/boot.log" 2>&1 </dev/null &
launcher=$!
systemd=
cleanup() {
  [[ -z $systemd ]] || kill -KILL "$systemd" 2>/dev/null || true
  wait "$launcher" 2>/dev/null || true
  if [[ -n ${own:-} ]]; then
    find "$own" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  fi
}
trap cleanup EXIT

for _ in $(seq 1200); do
  systemd=$(pgrep -P "$launcher" | head -n 1 || true)
  if [[ -n $systemd && $(cat "/proc/$systemd/comm" 2>/dev/null) == systemd ]]; then
    state=$(nsenter -t "$systemd" -m -p -C -i -u systemctl is-system-running 2>/dev/null || true)
    [[ $state == running || $state == degraded ]] && break
  fi
  kill -0 "$launcher" 2>/dev/null || break
  sleep 0.1
done
if [[ ${state:-} != running && ${state:-} != degraded ]]; then
  echo "the host did not boot (state: ${state:-none}):" >&2
  tail -n 20 "$box/boot.log" >&2
  exit 1
fi
nsenter -t "$systemd" -m -p -C -i -u systemctl log-target journal
echo "PID $systemd"
cat >/dev/null
