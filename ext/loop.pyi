from typing_extensions import disjoint_base

from rampd.ext.image import Configuration, InputWall, Memory, OutputWall
from rampd.ext.tape import Tape

@disjoint_base
class Loop:
    """latch -> step -> guard -> publish, once a period, without the GIL.

    `wake_fd` is an eventfd written after each tick; a `tape` gets what each tick was given and gave. Run it in a thread
    of its own, stop and join it in `finally`.
    """

    def __init__(
        self,
        configuration: Configuration,
        inputs: InputWall,
        outputs: OutputWall,
        memory: Memory,
        wake_fd: int,
        tape: Tape | None = None,
    ) -> None: ...
    def tick_at(self, now_ns: int) -> bool:
        """One tick at a given time, for simulated time and replay; False when the step refused the time."""
    def check_at(self, now_ns: int) -> None:
        """The guard alone, on the set points asked in memory, for tests and replay."""
    def run(self) -> None:
        """Ticks at absolute deadlines until stopped; periods missed are skipped and counted. Blocks all signals."""
    def stop(self) -> None:
        """Ends `run` after the present tick; callable from any thread."""
