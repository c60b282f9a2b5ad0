/* The folder NO_LINKS_UNDER is on a file system like NFS without a lock service: no hard links, and no flock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_under(const char *path) {
    const char *folder = getenv("NO_LINKS_UNDER");
    return folder && path && !strncmp(path, folder, strlen(folder));
}

int link(const char *from, const char *to) {
    if (is_under(to)) { errno = EPERM; return -1; }
    return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "link"))(from, to);
}

int linkat(int a, const char *from, int b, const char *to, int flags) {
    if (is_under(to)) { errno = EPERM; return -1; }
    return ((int (*)(int, const char *, int, const char *, int))dlsym(RTLD_NEXT, "linkat"))(a, from, b, to, flags);
}

int flock(int descriptor, int operation) {
    char name[64], path[4096] = "";
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    if (readlink(name, path, sizeof path - 1) > 0 && is_under(path)) { errno = ENOLCK; return -1; }
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(descriptor, operation);
}
