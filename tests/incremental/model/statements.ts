// Random statements about rows: insert, update (HOT or not), upsert, merge, delete, row locks, subtransactions. They
// touch few blocks each, so that most segments stay as they are.

import type { Dice } from "./dice.ts";
import {
  FIRST_LARGE_OBJECT,
  hasRoom,
  ID_COUNT,
  LARGE_OBJECT_COUNT,
  MODEL_TABLES,
  noise,
  type ModelTable,
} from "./tables.ts";

const MOST_BLOCKS = 56;

/** Of the statements. */
const LARGE_OBJECT_SHARE = 0.1;

/** Rows of one or two neighbouring blocks, and of these only some. */
function someRows(dice: Dice): string {
  const first = dice.below(MOST_BLOCKS);
  const end = first + dice.between(1, 2);
  const part = dice.pick([1, 1, 2, 5, 9]);
  return `ctid >= '(${first},0)' AND ctid < '(${end},0)' AND id % ${part} = ${dice.below(part)}`;
}

function newRows(dice: Dice, { name, idMin, padCountMax }: ModelTable, count: number): string {
  const first = idMin + dice.below(ID_COUNT - count);
  const pad = `pg_catalog.repeat(pg_catalog.md5(g::text), 1 + g % ${padCountMax})`;
  return `SELECT g, g % 100, ${dice.below(1000)}, ${pad}
    FROM generate_series(${first}, ${first + count - 1}) g WHERE ${hasRoom(name)}`;
}

function insert(dice: Dice, table: ModelTable): string {
  const rows = newRows(dice, table, dice.pick([1, 1, 3, 10, 60]));
  const conflict = table.name !== "accounts" ? "" : dice.pick(["DO NOTHING", "(id) DO UPDATE SET v = excluded.v"]);
  return `INSERT INTO ${table.name} (id, k, v, pad) ${rows} ${conflict && `ON CONFLICT ${conflict}`}`;
}

function update(dice: Dice, { name }: ModelTable): string {
  const change = dice.pick([
    `v = v + ${dice.between(1, 9)}`,
    `v = ${dice.below(1000)}`,
    `k = ${dice.below(100)}`,
    `pad = pg_catalog.md5('${dice.below(1000)}')`,
    ...(name === "ledger" ? ["account = (SELECT id FROM accounts WHERE k = ledger.k LIMIT 1)"] : []),
    ...(name === "documents" ? [`pad = pg_catalog.repeat(pg_catalog.md5(v::text), 100)`] : []),
  ]);
  return `UPDATE ${name} SET ${change} WHERE ${someRows(dice)} AND ${hasRoom(name)}`;
}

function merge(dice: Dice, table: ModelTable): string {
  const { name } = table;
  const rows = newRows(dice, table, 4);
  return `MERGE INTO ${name} USING (${rows}) AS new (id, k, v, pad) ON ${name}.id = new.id
    WHEN MATCHED AND ${name}.v % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = new.v
    WHEN NOT MATCHED THEN INSERT (id, k, v, pad) VALUES (new.id, new.k, new.v, new.pad)`;
}

function lockRows(dice: Dice, { name }: ModelTable): string {
  const strength = dice.pick(["KEY SHARE", "SHARE", "SHARE", "NO KEY UPDATE", "UPDATE"]);
  return `SELECT count(*) FROM (SELECT 1 FROM ${name} WHERE ${someRows(dice)} FOR ${strength}) AS locked`;
}

/** More subtransactions than a session's cache of 64 holds; some fail and are undone. */
function subtransactions(dice: Dice, { name }: ModelTable): string {
  const count = dice.between(70, 150);
  return `DO $$ BEGIN FOR i IN 1..${count} LOOP BEGIN
    IF i % 9 = 0 THEN PERFORM 1 FROM ${name} WHERE id % 500 = i FOR SHARE;
    ELSE UPDATE ${name} SET v = v + i WHERE ctid >= '(${dice.below(MOST_BLOCKS)},0)' AND id % 97 = i % 97
      AND ctid < '(${dice.below(MOST_BLOCKS)},0)' AND ${hasRoom(name)}; END IF;
    IF i % 5 = 0 THEN RAISE EXCEPTION 'undone'; END IF;
  EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$`;
}

/** Write to, shorten, make or unlink a large object; they stand in pg_largeobject, 2 KiB a row. */
function largeObject(dice: Dice): string {
  const oid = FIRST_LARGE_OBJECT + dice.below(LARGE_OBJECT_COUNT);
  const position = dice.pick([0, 100, 2000, 5000, 40_000]);
  const data = noise(`'${dice.below(1000)} '`, dice.between(1, 300));
  const open = `pg_catalog.lo_open(${oid}, x'60000'::int)`;
  return dice.pick([
    `SELECT pg_catalog.lo_put(${oid}, ${position}, ${data})`,
    `SELECT pg_catalog.lo_put(${oid}, ${position}, ${data})`,
    `SELECT pg_catalog.lo_truncate(${open}, ${position})`,
    `SELECT pg_catalog.lo_unlink(${oid})`,
    `SELECT pg_catalog.lo_create(${oid})`,
    `SELECT pg_catalog.lo_from_bytea(${oid}, ${data})`,
  ]);
}

/** A random statement about rows of a random table, or a large object. */
export function rowStatement(dice: Dice): string {
  if (dice.chance(LARGE_OBJECT_SHARE)) return largeObject(dice);
  const table = dice.pick(MODEL_TABLES);
  const draw = dice.next();
  if (draw < 0.25) return insert(dice, table);
  if (draw < 0.62) return update(dice, table);
  if (draw < 0.72) return `DELETE FROM ${table.name} WHERE ${someRows(dice)}`;
  if (draw < 0.78) return merge(dice, table);
  if (draw < 0.93) return lockRows(dice, table);
  return subtransactions(dice, table);
}

/** Statements for sessions in turn that lock the same rows without excluding one another: these get multixacts. */
export function sharedLocks(dice: Dice): readonly string[] {
  const name = dice.pick(MODEL_TABLES).name;
  const first = dice.below(12);
  const rows = `ctid >= '(${first},0)' AND ctid < '(${first + 1},0)'`;
  const lock = (strength: string): string =>
    `SELECT count(*) FROM (SELECT 1 FROM ${name} WHERE ${rows} FOR ${strength}) AS locked`;
  const update = `UPDATE ${name} SET v = v + 1 WHERE ${rows} AND ${hasRoom(name)}`;
  return dice.pick([
    [lock("KEY SHARE"), lock("SHARE"), lock("KEY SHARE")],
    [lock("KEY SHARE"), update],
    [lock("KEY SHARE"), lock("KEY SHARE"), lock("NO KEY UPDATE")],
  ]);
}

/** Many small transactions, one after another, for a session that works while others do. */
export function manyTransactions(dice: Dice): string {
  const { name } = dice.pick(MODEL_TABLES);
  const mode = dice.pick(["on", "off"]);
  const first = dice.below(MOST_BLOCKS);
  return `DO $$ BEGIN FOR i IN 1..${dice.between(10, 60)} LOOP
    PERFORM pg_catalog.set_config('synchronous_commit', '${mode}', true);
    UPDATE ${name} SET v = v + 1 WHERE id % 50 = i % 50 AND ctid >= '(${first},0)' AND ctid < '(${first + 6},0)' AND ${hasRoom(name)};
    IF i % 7 = 0 THEN ROLLBACK; ELSE COMMIT; END IF; END LOOP; END $$`;
}
