/* A libnvidia-ml.so.1 that says what the environment tells it to.

   FAKE_GPUS                 "name|capability|memory MiB|mig|ecc|uncorrected|compute mode|PCI id", rows separated by
                             ";". mig and ecc are 0, 1, or "-" for "not supported".
   FAKE_DRIVER_VERSION       "580.95.05"
   FAKE_CUDA_VERSION         13000
   FAKE_NVML_INIT            what nvmlInit_v2 returns (18: driver and library differ)
   FAKE_NVML_HANG, _CRASH    nvmlInit_v2 never returns, or ends the process by SIGSEGV
   FAKE_NVML_OLD             it knows the older way to tell memory alone
   FAKE_TEMPERATURE          degrees Celsius of every GPU, 40 where unset; they slow down from 87 on
   FAKE_THROTTLE             the bits of the reasons for which the clocks are held down, "0x48"
   FAKE_REMAP_PENDING        rows of memory wait for a reset
   FAKE_POWER_LIMIT          watts of the 700 that the card may take
   FAKE_MIG_SIZES            MiB of each MIG instance of GPU 0, separated by ","
   FAKE_NVML_LOST            the index of a GPU whose handle is refused with 15 (fallen off the bus)  */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <signal.h>

enum { NAME, CAPABILITY, MEMORY, MIG, ECC, UNCORRECTED, MODE, PCI, FIELDS };
enum { SUCCESS = 0, NOT_SUPPORTED = 3, LOST = 15 };

static const char *variable(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static unsigned count(void) {
    const char *at = variable("FAKE_GPUS", "");
    unsigned rows = *at ? 1 : 0;
    for (; *at; at++) rows += *at == ';';
    return rows;
}

/* The field of that row, "" where the row is shorter. */
static void field(unsigned row, unsigned column, char *into, size_t size) {
    const char *at = variable("FAKE_GPUS", "");
    size_t used = 0;
    for (; row && *at; at++) row -= *at == ';';
    for (; column && *at && *at != ';'; at++) column -= *at == '|';
    while (!column && *at && *at != '|' && *at != ';' && used + 1 < size) into[used++] = *at++;
    into[used] = 0;
}

static int flag(void *handle, unsigned column, unsigned *current, unsigned *pending) {
    char text[16];
    field((unsigned)(size_t)handle - 1, column, text, sizeof text);
    if (text[0] != '0' && text[0] != '1') return NOT_SUPPORTED;
    *current = *pending = text[0] - '0';
    return SUCCESS;
}

int nvmlInit_v2(void) {
    if (getenv("FAKE_NVML_CRASH")) raise(SIGSEGV);
    while (getenv("FAKE_NVML_HANG")) sleep(1);
    return atoi(variable("FAKE_NVML_INIT", "0"));
}

const char *nvmlErrorString(int code) {
    return code == 999 ? "Unknown Error" : code == 18 ? "Driver/library version mismatch" : code == 15 ? "GPU is lost" : "Unknown Error";
}

int nvmlSystemGetDriverVersion(char *into, unsigned size) {
    snprintf(into, size, "%s", variable("FAKE_DRIVER_VERSION", "580.95.05"));
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = atoi(variable("FAKE_CUDA_VERSION", "13000"));
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *number) {
    *number = count();
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    if (getenv("FAKE_NVML_LOST") && index == (unsigned)atoi(getenv("FAKE_NVML_LOST"))) return LOST;
    *handle = (void *)(size_t)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *into, unsigned size) {
    field((unsigned)(size_t)handle - 1, NAME, into, size);
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    char text[16];
    field((unsigned)(size_t)handle - 1, CAPABILITY, text, sizeof text);
    return sscanf(text, "%d.%d", major, minor) == 2 ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long *total_free_used) {
    char text[32];
    field((unsigned)(size_t)handle - 1, MEMORY, text, sizeof text);
    if ((size_t)handle > 100) { /* a MIG instance */
        const char *at = variable("FAKE_MIG_SIZES", "");
        for (size_t slot = (size_t)handle - 101; slot && *at; at++) slot -= *at == ',';
        snprintf(text, sizeof text, "%s", at);
    }
    total_free_used[0] = strtoull(text, 0, 10) << 20;
    total_free_used[2] = 1ull << 20;
    total_free_used[1] = total_free_used[0] - total_free_used[2];
    return SUCCESS;
}

struct memory2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

int nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory2 *into) {
    unsigned long long total_free_used[3];
    if (getenv("FAKE_NVML_OLD")) return NOT_SUPPORTED;
    if (into->version != (sizeof *into | 2 << 24)) return 25; /* the caller's structure is of another version */
    nvmlDeviceGetMemoryInfo(handle, total_free_used);
    into->total = total_free_used[0];
    into->reserved = 600ull << 20;
    into->used = 3ull << 20;
    into->free = into->total - into->reserved - into->used;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    return flag(handle, MIG, current, pending);
}

int nvmlDeviceGetEccMode(void *handle, unsigned *current, unsigned *pending) {
    return flag(handle, ECC, current, pending);
}

int nvmlDeviceGetTotalEccErrors(void *handle, int type, int counter, unsigned long long *errors) {
    unsigned on = 0, pending;
    char text[32];
    if (flag(handle, ECC, &on, &pending) != SUCCESS || type != 1 || counter != 0) return NOT_SUPPORTED;
    field((unsigned)(size_t)handle - 1, UNCORRECTED, text, sizeof text);
    *errors = strtoull(text, 0, 10);
    return SUCCESS;
}

int nvmlDeviceGetComputeMode(void *handle, int *mode) {
    char text[16];
    field((unsigned)(size_t)handle - 1, MODE, text, sizeof text);
    *mode = atoi(text);
    return SUCCESS;
}

struct pci {
    char legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

int nvmlDeviceGetPciInfo_v3(void *handle, struct pci *into) {
    field((unsigned)(size_t)handle - 1, PCI, into->bus_id, sizeof into->bus_id);
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    *celsius = (unsigned)atoi(variable("FAKE_TEMPERATURE", "40"));
    return sensor ? NOT_SUPPORTED : SUCCESS;
}

int nvmlDeviceGetTemperatureThreshold(void *handle, int kind, unsigned *celsius) {
    *celsius = 87;
    return kind == 1 ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *milliwatts) {
    *milliwatts = 1000u * (unsigned)atoi(variable("FAKE_POWER_LIMIT", "700"));
    return SUCCESS;
}

int nvmlDeviceGetPowerManagementDefaultLimit(void *handle, unsigned *milliwatts) {
    *milliwatts = 700000u;
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *reasons) {
    *reasons = strtoull(variable("FAKE_THROTTLE", "0x1"), 0, 16);
    return SUCCESS;
}

int nvmlDeviceGetRemappedRows(void *handle, unsigned *ok, unsigned *bad, unsigned *pending, unsigned *failed) {
    *ok = *bad = *failed = 0;
    *pending = getenv("FAKE_REMAP_PENDING") != 0;
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *handle, char *into, unsigned size) {
    size_t number = (size_t)handle;
    snprintf(into, size, "%s-%08zx-0000-0000-0000-000000000000", number > 100 ? "MIG" : "GPU", number - 1);
    return SUCCESS;
}

/* The instances of GPU 0 have the handles 101, 102, ... */
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *number) {
    *number = 7;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned slot, void **instance) {
    const char *at = variable("FAKE_MIG_SIZES", "");
    unsigned made = *at ? 1 : 0;
    for (; *at; at++) made += *at == ',';
    if ((size_t)handle != 1 || slot >= made) return 6; /* NVML_ERROR_NOT_FOUND */
    *instance = (void *)(size_t)(101 + slot);
    return SUCCESS;
}
