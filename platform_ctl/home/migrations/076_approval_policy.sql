ALTER TABLE approvals ADD COLUMN approvers TEXT NOT NULL DEFAULT '[]';
ALTER TABLE approvals ADD COLUMN self_approval INTEGER NOT NULL DEFAULT 1;
ALTER TABLE approvals ADD COLUMN promotion_id TEXT NOT NULL DEFAULT '';
UPDATE approvals SET promotion_id = COALESCE(
    (SELECT runs.id FROM runs WHERE runs.idempotency_key = 'promote-' || approvals.id), 'unknown')
WHERE state <> 'pending';
