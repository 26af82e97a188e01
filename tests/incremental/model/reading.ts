// One round's backup as the product takes it, but with everything read: a snapshot with its locks, what is recorded for the
// next run (through src/incremental), and a hash of what COPY gives for each segment in that snapshot.
// The order is docs/formats/incremental.md's; `between` is called where other sessions may work meanwhile.

import { createHash } from "node:crypto";

import { changedRelations, readRelationStates, type RelationState } from "../../../src/dump/catalog-facts.ts";
import { planTable, type TablePlan } from "../../../src/dump/segment-plan.ts";
import { readSnapshotFacts } from "../../../src/dump/snapshot-facts.ts";
import {
  awaitSummaries,
  carryCheckpoints,
  chooseBase,
  decodeIncremental,
  decodeRelationShape,
  digestSummaries,
  encodeIncremental,
  listSummaries,
  markHistory,
  provenCheckpoints,
  readCheckpoint,
  readPosition,
  readRelationShapes,
  sealOf,
  summariesWithin,
  TEXT_SETTINGS,
  type Answer,
  type CheckpointRecord,
  type IncrementalRecord,
  type RelationShape,
  type ServerPosition,
  type TextShape,
  type WalSummary,
} from "../../../src/incremental/index.ts";
import type { Session } from "../../../src/postgres/index.ts";

/** Blocks of a segment in the model: small, so that small tables have many. */
export const SEGMENT_BLOCK_COUNT = 4;

const WAIT_LIMIT_MS = 60_000;
const SNAPSHOT_ATTEMPT_COUNT_MAX = 20;
const COPY_PATIENCE_MS = 500;

export const signal = new AbortController().signal;

/** What a restore point is to later runs, and what a full read gave. */
export interface Reading {
  readonly record: IncrementalRecord;
  readonly shapes: ReadonlyMap<number, RelationShape>;
  /** By OID, in the order of the segments. */
  readonly hashes: ReadonlyMap<number, readonly string[]>;
}

/** What a run knows when it decides. */
export interface Situation {
  readonly position: ServerPosition;
  readonly text: TextShape;
  readonly summaries: readonly WalSummary[];
  /** As listed before anything was waited for. */
  readonly summariesBefore: readonly WalSummary[];
  /** The last checkpoint when the run began. */
  readonly checkpoint: CheckpointRecord;
  readonly shapes: ReadonlyMap<number, RelationShape>;
}

/** The sessions of a run: one in the snapshot, one beside it. */
export interface RunSessions {
  readonly holder: Session;
  readonly second: Session;
}

export interface ReadingOptions {
  /** The lineage's newest restore point. */
  readonly parent: Reading | null;
  /** Whether the run waits for summaries, so that it can be sealed. */
  readonly awaits: boolean;
  readonly segmentBlockCount?: number;
  /** False: the run leaves no mark of its own in the WAL. */
  readonly marks?: boolean;
  /** Statements after the readers' usual settings. */
  readonly settings?: string;
  /** Other sessions' work while the run is under way. */
  readonly between: () => Promise<void>;
  /** Ends whatever holds a lock that the run needs. */
  readonly release: () => Promise<void>;
  /** Called when all is known and nothing is read yet. */
  readonly decide: (situation: Situation) => Promise<void>;
}

/** The value that the server must be able to tell here. */
export function known<T>(answer: Answer<T>): T {
  if (answer.kind === "unknown") throw new Error(answer.reason);
  return answer.value;
}

/** Takes a restore point's worth of knowledge. */
export async function takeReading(sessions: RunSessions, options: ReadingOptions): Promise<Reading> {
  const { holder, second } = sessions;
  const checkpoint = known(await readCheckpoint(second, signal));
  const plans = await openSnapshot(sessions, options);
  const facts = await readSnapshotFacts(holder, second, signal);
  const position = known(await readPosition(second, facts, signal));
  const shapes = await shapesOf(second, plans);
  if (options.marks ?? true) known(await markHistory(second, position, { signal }));
  const summariesBefore = known(await listSummaries(second, position.timeline, signal));
  await options.between();
  if (options.awaits) await waitFor(second, position);
  const summaries = known(await listSummaries(second, position.timeline, signal));
  const { segmentBlockCount = SEGMENT_BLOCK_COUNT } = options;
  const text = { settings: await settingsOf(holder), selection: [], segmentBlockCount, readerVersion: 1 };
  await options.decide({ position, text, summaries, summariesBefore, checkpoint, shapes });
  const hashes = await readSegments(holder, plans, options);
  const after = await shapesOf(second, plans);
  await holder.query("COMMIT");
  const record = await recordOf(second, options.parent, { checkpoint, position, text, summaries });
  return { record: throughManifest(record), shapes: withStability(shapes, after), hashes };
}

/** A snapshot with locks on all tables, nothing rewritten in between; takes another one when there was. */
async function openSnapshot({ holder, second }: RunSessions, options: ReadingOptions): Promise<TablePlan[]> {
  for (let attempt = 1; ; attempt += 1) {
    if (attempt > SNAPSHOT_ATTEMPT_COUNT_MAX) throw new Error("no snapshot without changes could be had");
    await holder.query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT 1");
    await holder.query(`${READER_SETTINGS}; ${options.settings ?? ""}`);
    const copies = (await holder.query(COPY_STATEMENTS)).rows.map((row) => [Number(row[0]), row[1]!, row[2]!] as const);
    await options.between();
    if (
      await locks(
        holder,
        copies.map(([, name]) => name),
      )
    ) {
      const oids = copies.map(([oid]) => oid);
      const states = await readRelationStates(holder, oids, { countsBlocks: true, signal });
      const now = await readRelationStates(second, oids, { countsBlocks: false, signal });
      if (changedRelations(states, now).length === 0 && areNamesEqual(states, now)) {
        const { major } = holder.serverVersion;
        return copies.map(([oid, , copyStatement]) =>
          planTable(
            { dumpId: oid, relation: states.get(oid)!.facts, copyStatement },
            major,
            options.segmentBlockCount ?? SEGMENT_BLOCK_COUNT,
          ),
        );
      }
    } else await options.release();
    await holder.query("ROLLBACK");
  }
}

/** LOCK and COPY go by names: a relation that was renamed since the snapshot would be mistaken for another one. */
function areNamesEqual(states: ReadonlyMap<number, RelationState>, now: ReadonlyMap<number, RelationState>): boolean {
  return [...states].every(([oid, { facts }]) => {
    const today = now.get(oid)?.facts;
    return today?.name === facts.name && today.namespace === facts.namespace;
  });
}

async function locks(holder: Session, names: readonly string[]): Promise<boolean> {
  try {
    for (const name of names) await holder.query(`LOCK TABLE ONLY ${name} IN ACCESS SHARE MODE`);
    await holder.query("SET LOCAL lock_timeout TO 0");
    return true;
  } catch (error) {
    if (!holder.isConnected) throw error;
    return false;
  }
}

const READER_SETTINGS = `
SET search_path TO ''; SET row_security TO off; SET TimeZone TO 'UTC'; SET bytea_output TO hex; SET DateStyle TO ISO;
SET IntervalStyle TO postgres; SET extra_float_digits TO 3; SET max_parallel_workers_per_gather TO 0;
SET synchronize_seqscans TO off; SET enable_tidscan TO on; SET enable_seqscan TO off; SET jit TO off`;

const COPY_STATEMENTS = `
SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname),
       pg_catalog.format('COPY %I.%I (%s) TO stdout;', n.nspname, c.relname,
         (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''))
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname = 'public' OR c.oid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass ORDER BY c.oid`;

async function settingsOf(holder: Session): Promise<Record<string, string>> {
  const values = TEXT_SETTINGS.map((name) => `pg_catalog.current_setting('${name}')`).join(", ");
  const row = (await holder.query(`SELECT ${values}`)).rows[0]!;
  return Object.fromEntries(TEXT_SETTINGS.map((name, index) => [name, row[index]!]));
}

async function waitFor(second: Session, { timeline, snapshotLsn: untilLsn }: ServerPosition): Promise<void> {
  const wait = await awaitSummaries(second, { timeline, untilLsn, mode: "now", limitMs: WAIT_LIMIT_MS, signal });
  if (wait.kind !== "reached") throw new Error(wait.reason);
}

async function shapesOf(second: Session, plans: readonly TablePlan[]): Promise<Map<number, RelationShape>> {
  const relations = plans.map(({ relation: { oid, blockCount } }) => ({ oid, blockCount }));
  return known(await readRelationShapes(second, relations, signal));
}

/** Shapes as recorded: stable where nothing changed while they were read. */
function withStability(
  before: ReadonlyMap<number, RelationShape>,
  after: ReadonlyMap<number, RelationShape>,
): Map<number, RelationShape> {
  const isEqual = (shape: RelationShape): boolean => JSON.stringify(shape) === JSON.stringify(after.get(shape.oid));
  const entries = [...before].map(([oid, shape]): [number, RelationShape] => {
    const decoded = decodeRelationShape(JSON.parse(JSON.stringify({ ...shape, isStable: isEqual(shape) })));
    if (decoded === null) throw new Error("a shape did not survive the manifest");
    return [oid, decoded];
  });
  return new Map(entries);
}

async function readSegments(
  holder: Session,
  plans: readonly TablePlan[],
  options: ReadingOptions,
): Promise<Map<number, string[]>> {
  const hashes = new Map<number, string[]>();
  for (const plan of plans) {
    const ofTable: string[] = [];
    for (const { statement } of plan.segments) {
      ofTable.push(await readSegment(holder, statement, options));
    }
    hashes.set(plan.relation.oid, ofTable);
    await options.between();
  }
  return hashes;
}

/** A type that an open transaction alters is locked: COPY waits for it, and here for the transactions to be ended. */
async function readSegment(holder: Session, statement: string, { release }: ReadingOptions): Promise<string> {
  let released = Promise.resolve();
  const timer = setTimeout(() => {
    released = release();
  }, COPY_PATIENCE_MS);
  const hash = createHash("sha1");
  try {
    for await (const piece of holder.copyOut(statement)) hash.update(piece);
  } finally {
    clearTimeout(timer);
    await released;
  }
  return hash.digest("base64");
}

interface RunKnowledge {
  readonly checkpoint: CheckpointRecord;
  readonly position: ServerPosition;
  readonly text: TextShape;
  readonly summaries: readonly WalSummary[];
}

async function recordOf(
  second: Session,
  parent: Reading | null,
  { checkpoint, position, text, summaries }: RunKnowledge,
): Promise<IncrementalRecord> {
  const carried = provenCheckpoints(parent?.record ?? null, position, summaries);
  const checkpoints = carryCheckpoints(carried, checkpoint, position);
  const baseLsn = chooseBase(checkpoints, position);
  const sealLsn = sealOf(summaries, position);
  const range = { timeline: position.timeline, fromLsn: baseLsn ?? 0n, toLsn: sealLsn ?? 0n };
  const sealed = baseLsn === null || sealLsn === null ? null : summariesWithin(summaries, range);
  const digest = sealed === null ? null : await digestSummaries(second, sealed, position.databaseOid, signal);
  return {
    position,
    text,
    checkpoints,
    baseLsn,
    sealLsn,
    summaryDigest: digest?.kind === "known" ? digest.value : null,
    largeObjects: null,
    runsSinceFullRead: 0,
    distrustedBecause: null,
  };
}

function throughManifest(record: IncrementalRecord): IncrementalRecord {
  const decoded = decodeIncremental(JSON.parse(JSON.stringify(encodeIncremental(record))));
  if (decoded === null) throw new Error("a record did not survive the manifest");
  return decoded;
}
