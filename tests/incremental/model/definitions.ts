// Random changes of tables and types as a whole: rewriting and not rewriting, with and without a new file. Each is a
// list of statements that are sent one after another, outside of a transaction.

import type { Dice } from "./dice.ts";
import { hasRoom, MODEL_TABLES, TABLESPACES, type ModelTable } from "./tables.ts";

/** `folder` is one that the server may write to. */
type Change = (dice: Dice, table: ModelTable, folder: string) => readonly string[];

const vacuum: Change = (dice, { name }) => [`VACUUM ${dice.pick(["", "", "(FREEZE)", "(FULL)"])} ${name}`];
const cluster: Change = (_dice, { name }) => [`CLUSTER ${name} USING ${name}_k`];
const reindex: Change = (_dice, { name }) => [`REINDEX TABLE ${name}`];

const truncateTail: Change = (dice, { name }) => [
  `DELETE FROM ${name} WHERE ctid >= '(${dice.between(2, 40)},0)'`,
  `VACUUM (TRUNCATE) ${name}`,
];

/** TRUNCATE … CASCADE, since ledger refers to accounts. */
const truncate: Change = (dice, { name, idMin }) => [
  `TRUNCATE ${name} CASCADE`,
  `INSERT INTO ${name} (id, k, v, pad) SELECT ${idMin} + g, g % 100, ${dice.below(9)}, pg_catalog.repeat('x', g)
    FROM generate_series(1, ${dice.between(50, 500)}) g`,
];

/** Rows that are frozen from the start. */
const copyFreeze: Change = (dice, { name, idMin }, folder) => {
  const count = dice.between(100, 500);
  const rows = `SELECT ${idMin} + g, g % 100, 1, repeat('f', g % 400) FROM generate_series(1, ${count}) g`;
  return [
    `COPY (${rows}) TO '${folder}/rows'`,
    `BEGIN; TRUNCATE ${name} CASCADE; COPY ${name} (id, k, v, pad) FROM '${folder}/rows' (FREEZE); COMMIT`,
  ];
};

/** COPY extends the file by several blocks at once. */
const copyIn: Change = (dice, { name, idMin }) => [
  `INSERT INTO ${name} (id, k, v, pad) SELECT ${idMin} + g, g % 100, ${dice.below(9)}, pg_catalog.repeat('c', g % 700)
    FROM generate_series(80000, ${80_000 + dice.between(50, 200)}) g WHERE ${hasRoom(name)} ON CONFLICT DO NOTHING`,
];

const addColumn: Change = (dice, { name }) => {
  const column = `c${dice.below(3)}`;
  return [`ALTER TABLE ${name} ADD COLUMN IF NOT EXISTS ${column} int DEFAULT ${dice.below(99)}`];
};

const dropColumn: Change = (dice, { name }) => [`ALTER TABLE ${name} DROP COLUMN IF EXISTS c${dice.below(3)}`];

/** Same name, same type, same file: only the number of the column and its missing value differ. */
const dropAndAddColumn: Change = (dice, { name }) => [
  `ALTER TABLE ${name} DROP COLUMN IF EXISTS b`,
  `ALTER TABLE ${name} ADD COLUMN b int DEFAULT ${dice.below(99)}`,
];

/** Some of these rewrite the table, others change only how its bytes are printed. */
const changeType: Change = (dice, { name }) => [
  dice.pick([
    `ALTER TABLE ${name} ALTER v TYPE ${dice.pick(["bigint", "int"])}`,
    "ALTER TABLE wide ALTER n TYPE varchar(40)",
    "ALTER TABLE wide ALTER n TYPE text",
    "ALTER TABLE wide ALTER n TYPE varchar(10)",
    `ALTER TABLE documents ALTER tail TYPE ${dice.pick(["oid USING tail::oid", "int USING tail::int"])}`,
    `UPDATE documents SET tail = ${dice.pick(["7", "-1"])} WHERE ctid < '(3,0)'`,
  ]),
];

const renameLabel: Change = (dice) => [
  `DO $$ DECLARE old name; BEGIN SELECT enumlabel INTO old FROM pg_catalog.pg_enum
     WHERE enumtypid = 'mood'::regtype ORDER BY enumsortorder OFFSET ${dice.below(3)} LIMIT 1;
   EXECUTE pg_catalog.format('ALTER TYPE mood RENAME VALUE %L TO %L', old, '${dice.pick(["low", "mid", "top"])}' || ${dice.below(1000)});
   END $$`,
];

const addLabel: Change = (dice) => [`ALTER TYPE mood ADD VALUE IF NOT EXISTS 'more${dice.below(4)}'`];

const changeComposite: Change = (dice) => [
  dice.pick([
    `ALTER TYPE pair ADD ATTRIBUTE c${dice.below(3)} int`,
    `ALTER TYPE pair DROP ATTRIBUTE IF EXISTS c${dice.below(3)}`,
  ]),
];

const persistence: Change = (dice) => [
  `ALTER TABLE ${dice.pick(["scratch", "moved"])} SET ${dice.pick(["LOGGED", "LOGGED", "UNLOGGED"])}`,
];

const tablespace: Change = (dice) => [
  `ALTER TABLE ${dice.pick(["moved", "wide"])} SET TABLESPACE ${dice.pick([...TABLESPACES.slice(0, 1), "pg_default"])}`,
];

const partitions: Change = (dice) => {
  const low = dice.chance(0.5);
  const name = low ? "parts_low" : "parts_high";
  const bounds = low ? "FROM (MINVALUE) TO (100000)" : "FROM (100000) TO (MAXVALUE)";
  return [
    dice.pick([
      `ALTER TABLE parts DETACH PARTITION ${name}`,
      `ALTER TABLE parts ATTACH PARTITION ${name} FOR VALUES ${bounds}`,
    ]),
  ];
};

/** Another relation under the same name. */
const recreate: Change = () => [
  `BEGIN; CREATE TABLE again AS SELECT id, k, v, pad FROM moved ORDER BY id; DROP TABLE moved;
   ALTER TABLE again RENAME TO moved; CREATE INDEX moved_k ON moved (k); COMMIT`,
];

/** Two relations exchange their names. */
const swapNames: Change = () => [
  "BEGIN; ALTER TABLE wide RENAME TO aside; ALTER TABLE points RENAME TO wide; ALTER TABLE aside RENAME TO points; COMMIT",
  "BEGIN; ALTER INDEX wide_k RENAME TO aside_k; ALTER INDEX points_k RENAME TO wide_k; ALTER INDEX aside_k RENAME TO points_k; COMMIT",
];

const sequence: Change = (dice) => [
  dice.pick([
    `SELECT setval('counter', ${dice.between(1, 999)})`,
    "ALTER SEQUENCE counter RESTART",
    "SELECT nextval('counter')",
  ]),
];

/** The table that holds them: with and without a new file. */
const vacuumLargeObjects: Change = (dice) => [
  dice.pick([
    `VACUUM ${dice.pick(["", "(FREEZE)", "(FULL)"])} pg_largeobject`,
    "CLUSTER pg_largeobject USING pg_largeobject_loid_pn_index",
  ]),
];

const CHANGES: readonly Change[] = [
  vacuum,
  vacuum,
  vacuum,
  cluster,
  reindex,
  truncateTail,
  truncate,
  copyFreeze,
  copyIn,
  addColumn,
  dropColumn,
  dropAndAddColumn,
  changeType,
  renameLabel,
  addLabel,
  changeComposite,
  persistence,
  tablespace,
  partitions,
  recreate,
  swapNames,
  sequence,
  vacuumLargeObjects,
];

/** A random change of a table or a type, by name. */
export function definitionChange(dice: Dice, folder: string): { name: string; statements: readonly string[] } {
  const change = dice.pick(CHANGES);
  return { name: change.name, statements: change(dice, dice.pick(MODEL_TABLES), folder) };
}

/** Changes that may stand in a transaction which stays open or is rolled back. */
const UNDOABLE: readonly Change[] = [truncate, addColumn, dropAndAddColumn, changeComposite, cluster];

/** A random change that may be part of a longer transaction. */
export function undoableChange(dice: Dice): string {
  return dice.pick(UNDOABLE)(dice, dice.pick(MODEL_TABLES), "").join("; ");
}
