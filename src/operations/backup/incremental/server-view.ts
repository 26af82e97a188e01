// What a run knows of its server for incremental reading: whether it keeps WAL summaries, its last checkpoint as it was
// before the snapshot, and, with the locks taken, its position and how each relation is stored. None of it may fail a
// backup: what cannot be known is a reason to read everything.

import { isOperatingError, messageOf } from "../../../base/errors.ts";
import { checkSameServer, parseCopyStatement, READER_VERSION, toArguments, type Dump } from "../../../dump/index.ts";
import {
  markHistory,
  readLargeObjectShape,
  readPosition,
  readRelationShapes,
  type SeenRelations,
  TEXT_SETTINGS,
  withinLimit,
  type Answer,
  type CheckpointRecord,
  type RelationShape,
  type ServerPosition,
  type TextShape,
} from "../../../incremental/index.ts";
import { openSession, type Session } from "../../../postgres/index.ts";
import type { OperationContext } from "../../operation.ts";
import type { SettledSource } from "../../source/settle-source.ts";
import { openAsking, type ServerLife } from "./server-life.ts";

/** Settings besides those that shape text by themselves: they decide in which order rows come. */
const ORDER_SETTINGS = ["max_parallel_workers_per_gather", "synchronize_seqscans", "enable_tidscan"] as const;

const SELECTS_ROWS = "pg_dump's statement for it selects rows";

/** Selection flags that change neither what is selected nor its text. */
const FLAGS_WITHOUT_TEXT = new Set(["snapshot", "lock-wait-timeout"]);

/** The server with the snapshot and the locks taken. */
export interface ServerView {
  /** Of before the snapshot, the newest last; at least one. */
  readonly checkpoints: readonly CheckpointRecord[];
  readonly position: ServerPosition;
  readonly text: TextShape;
  /** By OID, outside of the snapshot. */
  readonly shapes: ReadonlyMap<number, RelationShape>;
  /** How pg_largeobject is stored; null: there are no large objects to be read, or it could not be found out. */
  readonly largeObjects: RelationShape | null;
}

/** What `work` gives with a session of its own on the holder's server, or why it gives nothing. Throws only when cancelled. */
export async function askServer<T>(
  context: OperationContext,
  { source, dump }: { readonly source: SettledSource; readonly dump: Dump },
  work: (session: Session) => Promise<Answer<T>>,
): Promise<Answer<T>> {
  const { signal } = context;
  try {
    await using session = await openAsking(source.settings, signal);
    await proveSameServer(session, dump, signal);
    return await work(session);
  } catch (error) {
    signal.throwIfAborted();
    if (!isOperatingError(error)) throw error;
    return { kind: "unknown", reason: messageOf(error) };
  }
}

async function proveSameServer(session: Session, { snapshot }: Dump, signal: AbortSignal): Promise<void> {
  await withinLimit(session, () => checkSameServer(session, snapshot.exportedName, signal));
}

/** To be asked when the snapshot is there and the locks are held. It may be awaited later, whatever happens until then. */
export function beginView(
  context: OperationContext,
  source: SettledSource,
  held: { readonly dump: Dump; readonly life: ServerLife },
): Promise<Answer<ServerView>> {
  const view = viewServer(context, source, held);
  view.catch(() => {});
  return view;
}

async function viewServer(
  context: OperationContext,
  source: SettledSource,
  { dump, life }: { readonly dump: Dump; readonly life: ServerLife },
): Promise<Answer<ServerView>> {
  const { noted } = life;
  if (noted.kind === "unknown") return noted;
  const { signal } = context;
  const seen = await life.takeSeen();
  return await life.ask(async (session) => {
    await proveSameServer(session, dump, signal); // of what it told before, too
    const position = await readPosition(session, dump.snapshot, signal);
    if (position.kind === "unknown") return position;
    const shapes = await readShapes(session, dump, { seen: seen.kind === "known" ? seen.value : null, signal });
    if (shapes.kind === "unknown") return shapes;
    const marked = await markHistory(session, position.value, { signal });
    if (marked.kind === "unknown") return marked;
    const text = await readTextShape(dump, source, signal);
    const hasLargeObjects = dump.largeObjectBuckets.length > 0;
    const largeObjects = hasLargeObjects ? await readLargeObjectShape(session, signal) : null;
    const value = {
      checkpoints: noted.value,
      position: position.value,
      text,
      shapes: shapes.value,
      largeObjects: largeObjects?.kind === "known" ? largeObjects.value : null,
    };
    return { kind: "known", value };
  });
}

/**
 * How the relations are stored now, outside of the snapshot, or as they were seen since the locks are held. One whose statement
 * was not plain in the snapshot is always read, whatever the catalog says of it now.
 */
export async function readShapes(
  session: Session,
  { tables }: Dump,
  { seen, signal }: { readonly seen: SeenRelations | null; readonly signal: AbortSignal },
): Promise<Answer<ReadonlyMap<number, RelationShape>>> {
  const relations = tables.map(({ relation: { oid, blockCount } }) => ({ oid, blockCount }));
  const unseen = relations.filter(({ oid }) => seen?.has(oid) !== true);
  const asked = await readRelationShapes(session, unseen, signal);
  if (asked.kind === "unknown") return asked;
  const shapes = seen?.shapesOf(relations) ?? new Map<number, RelationShape>();
  for (const [oid, shape] of asked.value) shapes.set(oid, shape);
  for (const { relation, copyStatement } of tables) {
    const shape = shapes.get(relation.oid);
    if (shape === undefined || parseCopyStatement(copyStatement) !== null) continue;
    shapes.set(relation.oid, { ...shape, alwaysReadBecause: shape.alwaysReadBecause ?? SELECTS_ROWS });
  }
  return { kind: "known", value: shapes };
}

/** Asked of a session that is set as those of the readers are, not assumed. */
async function readTextShape(dump: Dump, source: SettledSource, signal: AbortSignal): Promise<TextShape> {
  await using session = await openSession(dump.holder.settings, { signal, applicationName: "cairn" });
  const names = [...TEXT_SETTINGS, ...ORDER_SETTINGS];
  const values = names.map((name) => `pg_catalog.current_setting('${name}')`);
  const { rows } = await withinLimit(session, async () => {
    for (const statement of dump.readerSetup()) await session.query(Buffer.from(statement, "latin1"), { signal });
    return await session.query(`SELECT ${values.join(", ")}`, { signal });
  });
  const settings = Object.fromEntries(names.map((name, index) => [name, rows[0]?.[index] ?? ""]));
  return {
    settings,
    selection: toArguments(source.flags.filter(({ name }) => !FLAGS_WITHOUT_TEXT.has(name))),
    segmentBlockCount: dump.segmentBlockCount,
    readerVersion: READER_VERSION,
  };
}
