"""Makes up for checks that were left out: beat judges such batches again, one transaction each."""

import logging

from quality import unjudged
from tickhub.core import clock
from tickhub.core.errors import PermanentError, UsageError
from tickhub.reference import queries as reference
from tickhub.rejudging import applying

logger = logging.getLogger(__name__)


def make_up(*, until_s: float) -> int:
    """Judge again the batches whose turn it is, until a moment of the monotonic clock; return how many were judged.

    What can never be judged is given up and says why; what a correction of the clock holds up is tried again later.
    """
    done = 0
    while clock.monotonic_s() < until_s:
        due = unjudged.take()
        if due is None:
            break
        (source,) = reference.sources(source_id=due.source_id)
        try:
            applying.judge_and_apply(batch_id=due.batch_id, source=source)
        except UsageError as error:
            unjudged.put_off(batch_id=due.batch_id)
            logger.info("batch not judged again yet", extra={"batch_id": due.batch_id, "error": str(error)})
        except PermanentError as error:
            unjudged.give_up(batch_id=due.batch_id, failure=str(error))
            logger.exception("batch stays unjudged", extra={"batch_id": due.batch_id})
        else:
            done += 1
    return done
