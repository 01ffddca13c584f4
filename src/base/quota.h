/* How much of the machine Linux' control groups leave to this process: containers limit processors
 * by a quota of time, which the set of processors doesn't show. */
#ifndef KZ_BASE_QUOTA_H
#define KZ_BASE_QUOTA_H

/* Processors whose whole time the groups above this process may use, rounded up, the strictest
 * counting; 0 where nothing limits them. Reads proc/self/cgroup and sys/fs/cgroup (version 1 and 2)
 * under `root`: "" for the system's own. */
int kz_cpu_quota(const char *root);

#endif
