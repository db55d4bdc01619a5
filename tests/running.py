"""Runs capture and the pipeline in the test's own process, on the real database."""

from ingest import inbox
from quality import incidents
from tickhub import capturing, pipeline
from tickhub.polling import Ending


def capture(spec: str, *, for_s: float | None = None) -> int:
    """Capture a source until it is played; return the ticks captured."""
    return capturing.run(
        spec,
        ending=Ending(until_drained=True, for_s=for_s),
        origin_msc=None,
        should_stop=lambda: False,
        publish=lambda _: None,
    )


def drain() -> int:
    """Process every waiting batch; return how many."""
    count = 0
    while (batch_id := inbox.oldest_waiting()) is not None:
        pipeline.process(batch_id=batch_id)
        count += 1
    return count


def keep() -> None:
    """Run the keeper until it finds nothing to do."""
    while incidents.keep():
        pass
