#!/usr/bin/env bash
# ceph-server.sh TREE FOLDER PORT : an S3 server on loopback: Ceph's monitor, one OSD in memory, the object gateway.
# TREE holds Debian's packages (see s3-servers.ts) and is not written to; FOLDER is this server's own and goes with it.
# Needs root (chroot in namespaces of its own: when this script ends, however, the kernel ends all servers in them).
# Stays in the foreground, and ends when its standard input closes. Prints "ready" on standard output.
# Keys: CEPH_KEY and CEPH_SECRET; READ_KEY may only read.
set -euo pipefail
[ "${CEPH_NAMESPACE:-}" ] ||
  CEPH_NAMESPACE=1 exec unshare --mount --propagation private --pid --fork --kill-child "$0" "$@"

tree=$1 folder=$2 port=$3
monitor_port=$((port + 1))
root=$folder/root
keyring=/etc/ceph/keyring

inside() { chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

stop() {
  # The servers end with this script, the first process of their namespace.
  umount -l "$root" "$folder/upper" 2>/dev/null || true
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 0' TERM INT

# The tree itself stays as it is: what the server writes lies above it.
mkdir -p "$root" "$folder/upper"
mount -t tmpfs -o mode=755 tmpfs "$folder/upper"
mkdir "$folder/upper/changes" "$folder/upper/work"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$folder/upper/changes,workdir=$folder/upper/work" "$root"
mkdir -p "$root"/{proc,dev,tmp,data/{mon,osd,rgw,run},etc/ceph}
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"

cat >"$root/etc/ceph/ceph.conf" <<END
[global]
fsid=$(cat /proc/sys/kernel/random/uuid)
mon_host=[v2:127.0.0.1:$monitor_port]
mon_initial_members=a
ms_bind_msgr1=false
ms_bind_ipv6=false
public_addr=127.0.0.1
cluster_addr=127.0.0.1
keyring=$keyring
osd_pool_default_size=1
osd_pool_default_min_size=1
mon_allow_pool_size_one=true
osd_crush_chooseleaf_type=0
osd_pool_default_pg_num=4
osd_pool_default_pg_autoscale_mode=off
mon_max_pg_per_osd=1000
osd_objectstore=memstore
memstore_device_bytes=4294967296
mon_data=/data/mon
osd_data=/data/osd
run_dir=/data/run
admin_socket=/data/run/\$name.asok
log_file=/data/\$name.log
mon_cluster_log_file=/data/cluster.log
[client.rgw]
rgw_frontends=beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw_data=/data/rgw
END

inside ceph-authtool -C "$keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
inside ceph-authtool "$keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
inside ceph-authtool "$keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd' >/dev/null
inside ceph-authtool "$keyring" --gen-key -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx' >/dev/null
fsid=$(sed -n 's/^fsid=//p' "$root/etc/ceph/ceph.conf")
inside monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$monitor_port]" /data/monmap >/dev/null
inside ceph-mon -i a --mkfs --monmap /data/monmap --keyring "$keyring"
inside ceph-mon -i a -f >"$root/data/mon.out" 2>&1 &
osd=$(cat /proc/sys/kernel/random/uuid)
inside timeout 60 ceph osd new "$osd" >/dev/null
inside ceph-osd -i 0 --mkfs --osd-uuid "$osd" >/dev/null 2>&1
inside ceph-osd -i 0 -f >"$root/data/osd.out" 2>&1 &
for _ in $(seq 120); do
  if inside ceph osd stat 2>/dev/null | grep -q '1 up'; then break; fi
  sleep 0.5
done
inside radosgw -n client.rgw -f >"$root/data/rgw.out" 2>&1 &
for _ in $(seq 240); do
  if curl -sf -o /dev/null "http://127.0.0.1:$port/"; then break; fi
  sleep 0.5
done
admin() { inside radosgw-admin -n client.rgw "$@" >/dev/null 2>&1; }
admin user create --uid=test --display-name=test --access-key="$CEPH_KEY" --secret-key="$CEPH_SECRET"
admin user create --uid=reader --display-name=reader --access-key="$READ_KEY" --secret-key="$READ_SECRET"
echo ready
read -r _ || true
