"""Every metric of tickhub, declared before use. docs/metrics.md describes each; a test compares the two."""

from prometheus_client import Counter, Gauge, Histogram

CAPTURED_TICKS = Counter("tickhub_captured_ticks_total", "Ticks committed to the inbox.", ["source"])
LATE_TICKS = Counter("tickhub_late_ticks_total", "Ticks that appeared behind the cursor.", ["source"])
READ_ERRORS = Counter("tickhub_read_errors_total", "Reads that a terminal answered with an error.", ["source"])
POLL_SECONDS = Histogram("tickhub_poll_seconds", "Time of one poll, from the first read to the commit.", ["source"])
SOURCE_CONNECTED = Gauge(
    "tickhub_source_connected",
    "1 while the terminal answers and its broker is reached.",
    ["source"],
    multiprocess_mode="mostrecent",
)
SOURCE_CIRCUIT = Gauge(
    "tickhub_source_circuit",
    "The breaker of the connection: 0 closed, 1 half-open, 2 open.",
    ["source"],
    multiprocess_mode="mostrecent",
)
SOURCE_LOST_SECONDS = Counter(
    "tickhub_source_lost_seconds_total", "Time without a connection, by how it was lost.", ["source", "how"]
)
SOURCE_STABILITY = Gauge(
    "tickhub_source_stability_ratio",
    "Share of the last hour in which the source was connected.",
    ["source"],
    multiprocess_mode="mostrecent",
)
AGENT_FRAMES = Counter("tickhub_agent_frames_total", "Frames of agents, by the bridge's answer.", ["source", "answer"])
AGENT_CLOSES = Counter("tickhub_agent_closes_total", "Connections that the bridge ended, by close code.", ["code"])
AGENTS = Gauge("tickhub_agents_connected", "Agents whose source this bridge captures.", multiprocess_mode="livesum")
PUBLISH_FAILURES = Counter("tickhub_publish_failures_total", "Batch ids that could not be published at once.")
PUBLISH_SKIPPED = Counter("tickhub_publish_skipped_total", "Batch ids left to the sweeper: the queue was long.")
SWEPT_BATCHES = Counter("tickhub_swept_batches_total", "Waiting batches published again by the sweeper.")
STORED_TICKS = Counter("tickhub_stored_ticks_total", "Ticks committed to the tick table.")
HELD_TICKS = Counter("tickhub_held_ticks_total", "Ticks put into quarantine.")
RELEASED_TICKS = Counter("tickhub_released_ticks_total", "Ticks released from quarantine by hand.")
DUPLICATE_TICKS = Counter("tickhub_duplicate_ticks_total", "Ticks whose equal row was stored already.")
COLLISIONS = Counter("tickhub_collisions_total", "Ticks whose key was stored already with other values.")
FAILED_BATCHES = Counter("tickhub_failed_batches_total", "Batches that an error of our own stopped.", ["error"])
BATCH_SECONDS = Histogram(
    "tickhub_batch_seconds",
    "Time of each stage of one batch.",
    ["stage"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
)
DISK_FREE_BYTES = Gauge(
    "tickhub_disk_free_bytes", "Room on the database's disk, where it can be seen.", multiprocess_mode="mostrecent"
)
CAPTURE_STOPPED = Gauge(
    "tickhub_capture_stopped", "1 while a source's poller may save nothing.", ["source"], multiprocess_mode="mostrecent"
)
DISK_REFUSALS = Counter("tickhub_disk_refusals_total", "Batches that a worker left alone because the disk is full.")
HOST_CLOCK_SYNCHRONISED = Gauge(
    "tickhub_host_clock_synchronised",
    "1 while the kernel says that the host's clock is kept right, else 0.",
    multiprocess_mode="mostrecent",
)
HOST_CLOCK_ERROR_SECONDS = Gauge(
    "tickhub_host_clock_error_seconds", "The kernel's bound of the clock's error.", multiprocess_mode="mostrecent"
)
HOST_CLOCK_DATABASE_SECONDS = Gauge(
    "tickhub_host_clock_database_seconds", "PostgreSQL's clock minus the host's.", multiprocess_mode="mostrecent"
)
DELIVERIES = Counter("tickhub_deliveries_total", "Messages of incidents, by what became of the attempt.", ["outcome"])
BACKLOG_BYTES = Gauge("tickhub_backlog_bytes", "Bytes of ticks not yet stored.", multiprocess_mode="mostrecent")
BACKLOG_AGE_SECONDS = Gauge(
    "tickhub_backlog_age_seconds", "How long the oldest batch has waited.", multiprocess_mode="mostrecent"
)
BACKLOG_BATCHES = Gauge(
    "tickhub_backlog_batches", "Batches captured and not yet stored.", multiprocess_mode="mostrecent"
)
