-- Why a task was skipped, what the cache did for it and how a run ended are columns of their own.
-- Older rows said it in their messages, which are read here for the last time.

ALTER TABLE runs ADD COLUMN orphaned INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET orphaned = 1
 WHERE state = 'FAILED' AND error = 'orphaned: the process of the run died';

ALTER TABLE tasks ADD COLUMN skipped_by TEXT NOT NULL DEFAULT '';   -- condition, upstream or ''
ALTER TABLE tasks ADD COLUMN skip_cause TEXT NOT NULL DEFAULT '';   -- path of the task that is it
ALTER TABLE tasks ADD COLUMN cache_use  TEXT NOT NULL DEFAULT '';   -- HIT, MISS, BYPASS or ''
UPDATE tasks SET skipped_by = 'condition', skip_cause = path
 WHERE state = 'SKIPPED' AND error = 'the condition is false';
UPDATE tasks SET skipped_by = 'upstream',
                 skip_cause = rtrim(path, replace(path, '.', ''))
                              || replace(replace(error, ' was skipped', ''), ' failed', '')
 WHERE state = 'SKIPPED' AND skipped_by = '';
UPDATE tasks SET cache_use = CASE WHEN state = 'CACHED' THEN 'HIT'
                                  WHEN cache LIKE 'caching is off%' THEN 'BYPASS'
                                  ELSE 'MISS' END
 WHERE cache <> '';

ALTER TABLE cache_decisions ADD COLUMN quarantined INTEGER NOT NULL DEFAULT 0;
UPDATE cache_decisions SET quarantined = 1 WHERE reason LIKE 'quarantined%';
