/* A file system like NFS without a lock service: no hard links, and no flock. */
#include <errno.h>
int link(const char *from, const char *to) { errno = EPERM; return -1; }
int linkat(int a, const char *from, int b, const char *to, int flags) { errno = EPERM; return -1; }
int flock(int descriptor, int operation) { errno = ENOLCK; return -1; }
