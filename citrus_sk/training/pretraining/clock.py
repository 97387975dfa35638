"""Clock of a pre-training run, by which a run with a time limit is planned."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Seconds of training, and the share of the time limit that is used.

    The share is counted from the first step on, because that step may compile the network or start
    a GPU. Otherwise, this start would use up the warm-up of the learning rate.

    Attributes
    ----------
    limit_s : float or None
        Time limit in seconds, if any.
    seconds : float
        Seconds of training so far, in all processes that worked on the run one after another.
    first_step_s : float or None
        Value of `seconds` from which the share is counted; None before the first step.
    share : float
        Share of the time that was used at the last step, 0 without a limit.
    """

    limit_s: float | None = None
    seconds: float = 0.0
    first_step_s: float | None = None
    share: float = 0.0
    _read_at: float = field(default_factory=time.perf_counter, repr=False)

    def start(self) -> None:
        """Count from now on."""
        self._read_at = time.perf_counter()

    def read(self) -> float:
        """Seconds of training until now."""
        now = time.perf_counter()
        self.seconds += now - self._read_at
        self._read_at = now
        return self.seconds

    def used(self) -> float:
        """Share of the time that is used by now, which is 0 in the first step."""
        if self.limit_s is None:
            return 0.0
        seconds = self.read()
        if self.first_step_s is None:
            self.first_step_s = seconds
        left = self.limit_s - self.first_step_s
        return (seconds - self.first_step_s) / left if left > 0 else 1.0

    def state(self) -> dict[str, float | None]:
        """State that `load` restores, in types that JSON can store."""
        return {
            "seconds": self.seconds,
            "first_step_s": self.first_step_s,
            "time_share": self.share,
        }

    def load(self, state: dict[str, float]) -> None:
        """Restore the result of `state`."""
        self.seconds = state["seconds"]
        self.first_step_s, self.share = state.get("first_step_s"), state.get("time_share", 0.0)
