"""What the estimate says, as lines and as a document."""

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional, Tuple

from envdoc.train.config import Run
from envdoc.train.estimate import plan
from envdoc.train.estimate.counted import Rows
from envdoc.train.estimate.memory import Pass, Terms, trained_numbers
from envdoc.train.estimate.passes import Passes
from envdoc.train.estimate.shape import Shape, as_document
from envdoc.train.estimate.speed import ASSUMED, MEASURED_ON, Gpu
from envdoc.train.progress import duration

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """Everything that was found out about a run before it starts."""

    run: Run  # with every open key settled
    shape: Shape
    rows: Rows
    passes: Passes
    largest: Pass
    terms: Terms
    gpu: Optional[Gpu]
    usable_bytes: Optional[int]  # of the GPU
    reasons: Tuple[str, ...]  # of the plan
    tokens: int  # of the whole run, padding not counted
    updates: int
    tokens_per_second: Optional[float]  # padding not counted
    price_per_hour: Optional[float]
    instead: Optional[str] = None  # the `key=value` words that make it fit
    probed: Optional[Dict[str, Any]] = None  # {"peak_bytes", "tokens_per_second", "trials"} or {"failed"}

    @property
    def peak_bytes(self) -> int:
        """The probe's where there was one, else the closed form's."""
        return int((self.probed or {}).get("peak_bytes") or self.terms.total)

    @property
    def speed(self) -> Optional[float]:
        """Useful tokens a second: the probe's where there was one."""
        return (self.probed or {}).get("tokens_per_second") or self.tokens_per_second

    @property
    def seconds(self) -> Optional[float]:
        """Of all updates."""
        return self.tokens / self.speed if self.speed else None

    @property
    def price(self) -> Optional[float]:
        """In whatever `--price-per-hour` was."""
        if self.seconds is None or self.price_per_hour is None:
            return None
        return self.seconds / 3600 * self.price_per_hour

    @property
    def fits(self) -> Optional[bool]:
        """Whether the peak fits into the GPU; None where there is none to fit into."""
        return None if self.usable_bytes is None else self.peak_bytes <= self.usable_bytes


def lines(report: Report) -> List[str]:
    """For a terminal."""
    return [*_what(report), *_memory(report), *_time(report)]


def document(report: Report) -> Dict[str, Any]:
    """For JSON: bytes, seconds and tokens as numbers, null where something is not known."""
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {**as_document(report.shape), "trained": trained_numbers(report.shape, report.largest.way)},
        "data": {
            "rows": report.rows.rows,
            "tokens_per_epoch": round(report.passes.tokens * report.rows.scale),
            "counted": report.rows.counted,
            "note": report.rows.note,
            "padding_share": 1 - report.passes.full,
        },
        "run": {
            "batch_size": report.run.train.batch_size,
            "accumulation": report.run.train.accumulation,
            "gradient_checkpointing": report.run.train.gradient_checkpointing,
            "quantization": report.run.model.quantization,
            "packing": report.run.data.packing,
            "cuda_graphs": report.run.train.cuda_graphs,
            "largest_pass_tokens": report.largest.tokens,
            "updates": report.updates,
            "tokens": report.tokens,
        },
        "gpu": asdict(report.gpu) if report.gpu else None,
        "plan": list(report.reasons),
        "memory": {
            "peak_bytes": report.peak_bytes,
            "usable_bytes": report.usable_bytes,
            "fits": report.fits,
            "instead": report.instead,
            "closed_form_bytes": report.terms.total,
            "terms": [asdict(term) for term in report.terms.terms],
        },
        "speed": {"tokens_per_second": report.speed, "closed_form": report.tokens_per_second},
        "seconds": report.seconds,
        "price": report.price,
        "price_per_hour": report.price_per_hour,
        "probe": report.probed,
    }


def _what(report: Report) -> List[str]:
    shape, rows, passes = report.shape, report.rows, report.passes
    epoch = round(passes.tokens * rows.scale)
    looked = f", from {len(rows.lengths):,} of them" if rows.scale > 1 else ""
    padding = f"; {1 - passes.full:.0%} of what is computed is padding" if passes.padded else "; packed"
    told = [
        f"Model     {shape.family}, {shape.parameters / 1e9:.2f} billion parameters in {shape.layers} layers; LoRA "
        f"r={report.run.lora.r} trains {trained_numbers(shape, report.largest.way):,}.",
        f"Data      {rows.rows:,} rows, {'' if rows.counted else 'about '}{epoch:,} tokens an epoch ({rows.note}"
        f"{looked}){padding}.",
    ]
    if report.gpu is None:
        told.append("GPU       none is here; `--gpu NAME` says for which to estimate (`--gpu 4090`).")
    else:
        peak = report.gpu.flops_per_second
        rate = f", {peak / 1e12:,.0f} TFLOP/s in 16 bits" if peak else ""
        told.append(f"GPU       {report.gpu.name}{', here' if report.gpu.here else ''}: "
                    f"{plan.gib(report.gpu.memory_bytes)}{rate}.")  # fmt: skip
    for place, sentence in enumerate(report.reasons):
        told.append(("          " if place else "Plan      ") + sentence.replace("Plan: ", ""))
    return told


def _memory(report: Report) -> List[str]:
    verdict = ""
    if report.usable_bytes is not None:
        verdict = f": it {'fits' if report.fits else 'does not fit'} into the {plan.gib(report.usable_bytes)} to be had"
    how = "in closed form"
    if report.probed and "peak_bytes" in report.probed:
        how = f"probed here (closed form: {plan.gib(report.terms.total)})"
    told = [f"Memory    {plan.gib(report.peak_bytes)} at the peak, {how}{verdict}. A pass holds up to "
            f"{report.largest.tokens:,} tokens:"]  # fmt: skip
    told += [
        f"          {term.bytes / 2**30:8.2f} GiB  {term.name}: {term.why}" for term in report.terms.terms
    ]
    if report.fits is False:
        told.append(f"          It would fit with `{report.instead}`." if report.instead else "          Nothing that "
                    "envdoc may choose makes it fit: shorter rows (`data.max_length`), or a larger GPU.")  # fmt: skip
    if report.probed and "failed" in report.probed:
        told.append(f"          Not probed: {report.probed['failed']}")
    return told


def _time(report: Report) -> List[str]:
    if report.speed is None or report.seconds is None:
        why = "no GPU is named" if report.gpu is None else f"no table has the speed of {report.gpu.name}"
        return [f"Time      not known: {why}. {report.updates:,} updates, {report.tokens:,} tokens."]
    how = "probed here"
    if not (report.probed and "tokens_per_second" in report.probed):
        name = report.gpu.name if report.gpu else ""
        how = (
            f"in closed form, by what an {MEASURED_ON} reached"
            if "H200" in name
            else f"in closed form; {ASSUMED}"
        )
    told = [
        f"Speed     about {_round(report.speed):,} tokens/s without padding ({how}).",
        f"Time      about {duration(report.seconds)} for {report.updates:,} updates, {report.tokens:,} tokens; without "
        "loading, checkpoints and proof.",
    ]
    if report.price is not None:
        told.append(f"Price     about {report.price:,.2f} at {report.price_per_hour:g} an hour.")
    return told


def _round(number: float) -> int:
    """Three digits: an estimate has no more."""
    digits = max(0, len(str(int(number))) - 3)
    return round(round(number) / 10**digits) * 10**digits
