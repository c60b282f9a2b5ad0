/* A libcuda.so.1 that says what the environment tells it to.

   FAKE_CUDA_VERSION         what cuDriverGetVersion reports, 13000 for CUDA 13.0
   FAKE_CUDA_INIT            what cuInit returns: 0, 100, 802, 803, 804, 999
   FAKE_CUDA_HANG, _CRASH    cuInit never returns, or ends the process by SIGSEGV
   FAKE_CUDA_GPU             "name|major|minor|memory MiB" of the one GPU that CUDA itself counts; none where unset  */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int number(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

static int gpu(char name[64], int *major, int *minor, unsigned long long *mebibytes) {
    const char *text = getenv("FAKE_CUDA_GPU");
    return text && sscanf(text, "%63[^|]|%d|%d|%llu", name, major, minor, mebibytes) == 4;
}

int cuDriverGetVersion(int *version) {
    *version = number("FAKE_CUDA_VERSION", 13000);
    return 0;
}

int cuInit(unsigned flags) {
    if (getenv("FAKE_CUDA_CRASH")) raise(SIGSEGV);
    while (getenv("FAKE_CUDA_HANG")) sleep(1);
    return flags ? 1 : number("FAKE_CUDA_INIT", 0);
}

int cuDeviceGetCount(int *count) {
    *count = getenv("FAKE_CUDA_GPU") != 0;
    return 0;
}

int cuDeviceGetName(char *into, int size, int device) {
    char name[64];
    int major, minor;
    unsigned long long mebibytes;
    if (device || !gpu(name, &major, &minor, &mebibytes)) return 101;
    snprintf(into, size, "%s", name);
    return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    char name[64];
    int major, minor;
    unsigned long long mebibytes;
    if (device || !gpu(name, &major, &minor, &mebibytes)) return 101;
    *bytes = mebibytes << 20;
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    char name[64];
    int major, minor;
    unsigned long long mebibytes;
    if (device || !gpu(name, &major, &minor, &mebibytes)) return 101;
    *value = attribute == 75 ? major : minor;
    return 0;
}

int cuDeviceGetPCIBusId(char *into, int size, int device) {
    snprintf(into, size, "0000:3B:00.%d", device);
    return 0;
}
