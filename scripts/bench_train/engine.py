"""How much of the time the GPU's engine was at work, by the card's own counter: NVML's GPM, on Hopper and newer.

Nothing becomes slower by it, unlike by a profiler, which is why it can tell of the very updates that are timed. Needs
nvidia-ml-py; without it, or where the card or the driver counts nothing, nothing is told.
"""

from typing import Any, List, Optional


class Engine:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._device: Any = None
        self._samples: List[Any] = []
        try:
            import pynvml
            import torch

            pynvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(0).uuid
            self._device = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            if pynvml.nvmlGpmQueryDeviceSupport(self._device).isSupportedDevice:
                self._nvml = pynvml
                self._sample()
        except Exception as error:  # no package, no GPU, an old driver, a container that may not ask
            print(f"The engine's counter is not read: {type(error).__name__}: {error}", flush=True)
            self._nvml = None

    def share(self) -> Optional[float]:
        """Of the time since then, from 0 to 1; None where nobody counts."""
        if self._nvml is None:
            return None
        try:
            self._sample()
            asked = self._nvml.c_nvmlGpmMetricsGet_t()
            asked.version, asked.numMetrics = self._nvml.NVML_GPM_METRICS_GET_VERSION, 1
            asked.sample1, asked.sample2 = self._samples
            asked.metrics[0].metricId = self._nvml.NVML_GPM_METRIC_GRAPHICS_UTIL
            told = self._nvml.nvmlGpmMetricsGet(asked).metrics[0]
            return float(told.value) / 100 if told.nvmlReturn == 0 else None
        except Exception as error:
            print(f"The engine's counter is not read: {type(error).__name__}: {error}", flush=True)
            return None
        finally:
            for sample in self._samples:
                self._nvml.nvmlGpmSampleFree(sample)
            self._nvml = None

    def _sample(self) -> None:
        sample = self._nvml.nvmlGpmSampleAlloc()
        self._samples.append(sample)
        self._nvml.nvmlGpmSampleGet(self._device, sample)
