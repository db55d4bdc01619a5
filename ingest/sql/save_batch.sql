-- Saves a batch, its bytes, its cursors' moves and the lease's renewal, or nothing, in one statement: one round trip,
-- its own transaction. TH001: the lease is lost; TH002: a cursor is not where it was read.
WITH batch AS (
    INSERT INTO ingest_batch (source_id, status, poll_msc, captured_at, captured_on, tick_count, first_msc, last_msc,
                              parts, publish_count, next_publish_at, failure)
    VALUES (%(source_id)s, 'WAITING', %(poll_msc)s, %(captured_at)s, %(captured_on)s, %(tick_count)s, %(first_msc)s,
            %(last_msc)s, %(parts)s::jsonb, 0, clock_timestamp() + %(publish_again_ms)s * interval '1 ms', '')
    RETURNING id
), payload AS (
    INSERT INTO batch_payload (batch_id, captured_on, ticks, marks, context)
    SELECT id, %(captured_on)s, %(ticks)b, %(marks)b, %(context)b FROM batch
), lease AS (
    UPDATE ingest_lease SET expires_at = clock_timestamp() + %(ttl_ms)s * interval '1 ms'
    WHERE source_id = %(source_id)s AND fence = %(fence)s
    RETURNING 1
), move AS (
    SELECT * FROM unnest(%(feed_ids)s::int2[], %(epoch_ids)s::int8[], %(last_mscs)s::int8[], %(takens)s::int4[],
                         %(versions)s::int8[]) AS m (feed_id, epoch_id, last_msc, taken, version)
), moved AS (
    UPDATE ingest_cursor c
    SET epoch_id = m.epoch_id, last_msc = m.last_msc, taken = m.taken, last_batch_id = batch.id, version = c.version + 1
    FROM move m, batch
    WHERE c.feed_id = m.feed_id AND c.version = m.version
    RETURNING 1
), made AS (
    INSERT INTO ingest_cursor (feed_id, epoch_id, last_msc, taken, last_batch_id, version)
    SELECT m.feed_id, m.epoch_id, m.last_msc, m.taken, batch.id, 1 FROM move m, batch WHERE m.version IS NULL
    ON CONFLICT (feed_id) DO NOTHING
    RETURNING 1
)
SELECT batch.id,
       tickhub_require((SELECT count(*) FROM lease), 1, 'TH001', 'lease'),
       tickhub_require((SELECT count(*) FROM moved) + (SELECT count(*) FROM made), (SELECT count(*) FROM move), 'TH002',
                       'cursors')
FROM batch
