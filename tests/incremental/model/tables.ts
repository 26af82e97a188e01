// What random histories work on: large objects, and ten tables of a few dozen blocks, each with another way to change what
// COPY prints. All have (id, k, v, pad), so that any statement about rows fits any of them.

/** A table of the model and where its ids lie. */
export interface ModelTable {
  readonly name: string;
  readonly idMin: number;
  /** Text of `pad` is this often 32 bytes at most; above 60 it goes to TOAST. */
  readonly padCountMax: number;
}

const table = (name: string, idMin = 0, padCountMax = 12): ModelTable => ({ name, idMin, padCountMax });

/** Ids of a table lie in [idMin, idMin + ID_COUNT). */
export const ID_COUNT = 90_000;

export const MODEL_TABLES: readonly ModelTable[] = [
  table("accounts"),
  table("ledger"),
  table("documents", 0, 200),
  table("moods"),
  table("points"),
  table("parts_low"),
  table("parts_high", 100_000),
  table("scratch"),
  table("wide"),
  table("moved"),
];

/** OIDs of the model's large objects. */
export const FIRST_LARGE_OBJECT = 9_000_000;
export const LARGE_OBJECT_COUNT = 30;

/** SQL for bytes that cannot be compressed, 32 times `count`. */
export const noise = (seed: string, count: number): string =>
  `(SELECT pg_catalog.string_agg(pg_catalog.sha256(pg_catalog.convert_to(${seed} || n, 'UTF8')), '') FROM generate_series(1, ${count}) n)`;

/** Tablespaces besides the default one; they stand inside the data folder, so that a copy of it has them. */
export const TABLESPACES = ["near", "far"] as const;

/** Blocks of a table beyond which nothing is added to it. */
const BLOCK_COUNT_MAX = 56;

/** A condition that keeps a table small. */
export const hasRoom = (name: string): string => `pg_catalog.pg_relation_size('${name}') < ${BLOCK_COUNT_MAX} * 8192`;

export const TABLESPACE_STATEMENTS = TABLESPACES.map((name) => `CREATE TABLESPACE ${name} LOCATION ''`);

/** Makes and fills the relations. */
export const SCHEMA = `
CREATE TYPE mood AS ENUM ('sad', 'fair', 'happy');
CREATE DOMAIN mood_domain AS mood[];
CREATE TYPE pair AS (a int, b int);
CREATE SEQUENCE counter;
CREATE TABLE accounts (id int PRIMARY KEY, k int, v int, pad text) WITH (fillfactor = 70);
CREATE TABLE ledger (id int, k int, v int, pad text, account int REFERENCES accounts ON DELETE CASCADE);
CREATE TABLE documents (id int, k int, v int, pad text, tail int DEFAULT 7);
ALTER TABLE documents ALTER pad SET STORAGE EXTERNAL;
CREATE TABLE moods (id int, k int, v int, pad text, m mood DEFAULT 'fair', d mood_domain DEFAULT '{sad,happy}')
  WITH (fillfactor = 80);
CREATE TABLE points (id int, k int, v int, pad text, p pair DEFAULT '(1,2)') WITH (fillfactor = 90);
CREATE TABLE parts (id int, k int, v int, pad text) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (100000);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (100000) TO (MAXVALUE);
CREATE UNLOGGED TABLE scratch (id int, k int, v int, pad text);
CREATE TABLE wide (id int, k int, v int, pad text, b int DEFAULT 1, n varchar(10) DEFAULT 'n') WITH (fillfactor = 60);
CREATE TABLE moved (id int, k int, v int, pad text) TABLESPACE near;
${MODEL_TABLES.map(
  ({ name, idMin }) => `
CREATE INDEX ${name}_k ON ${name} (k);
INSERT INTO ${name} (id, k, v, pad)
  SELECT ${idMin} + g, g % 100, 0, pg_catalog.repeat(pg_catalog.md5(g::text), 3 + g % 9) FROM generate_series(1, 500) g;`,
).join("")}
UPDATE ledger SET account = id WHERE id % 3 = 0;
SELECT count(lo_from_bytea(${FIRST_LARGE_OBJECT} + g, ${noise("g::text", 300)}))
  FROM generate_series(0, ${LARGE_OBJECT_COUNT - 1}) g;
`;
