// The manifest of a restore point as data, and its JSON. Source: docs/formats/repository.md §6.
// 64-bit numbers (LSN, xid, system identifier) are decimal strings, LSNs as PostgreSQL prints them.

import { OperatingError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import { isId, isPackName } from "./identifiers.ts";
import type { FinishedList } from "./lists.ts";

export const MANIFEST_BYTES_MAX = 512 * MIB;
export const SUMMARY_BYTES_MAX = 4 * MIB;

/** Any JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Who a restore point is of: a name that people use, and the database that it was when it was backed up. */
export interface Lineage {
  readonly name: string;
  readonly systemIdentifier: string;
  readonly databaseOid: number;
  readonly databaseName: string;
}

export interface SourceFacts {
  /** As the server says it, "18.6 (Debian 18.6-3)". */
  readonly serverVersion: string;
  readonly serverVersionNum: number;
  readonly hostRole: "primary" | "standby";
  /** Host and port for people; null when not to be told. */
  readonly host: string | null;
}

export interface SnapshotFacts {
  /** 64-bit, decimal. */
  readonly xmin: string | null;
  readonly xmax: string | null;
  readonly lsn: string | null;
  readonly timeline: number | null;
}

export interface ToolFacts {
  readonly cairnVersion: string;
  readonly pgDumpVersion: string;
  /** Null when it is the bundled one. */
  readonly pgDumpPath: string | null;
}

/** One database of a cluster restore point. */
export interface ClusterMember {
  readonly databaseName: string;
  readonly lineageName: string | null;
  /** Its own restore point, in its own lineage, of its own snapshot; null: its backup failed. */
  readonly restorePointId: string | null;
  /** Why it failed. */
  readonly error: string | null;
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly sealedBytes: number;
  readonly newBytes: number;
}

/** What makes a restore point that of a whole server: it names those of the databases, and has no data of its own. */
export interface ClusterFacts {
  readonly members: readonly ClusterMember[];
  /** Databases that were left out on purpose, e.g. `old: it refuses connections`. */
  readonly leftOut: readonly string[];
}

/** Where a restore point was copied from. */
export interface CopiedFrom {
  /** 32 hex digits; that of the repository itself when both were made alike. */
  readonly repositoryId: string;
  readonly restorePointId: string;
  /** When, ISO 8601. */
  readonly at: string;
}

/** Sums over a restore point. */
export interface Totals {
  readonly relations: number;
  readonly rows: number;
  readonly rawBytes: number;
  /** Sealed bytes of all chunks that it refers to, new and reused. */
  readonly sealedBytes: number;
  /** Bytes of the packs that its run wrote. */
  readonly newBytes: number;
  readonly chunks: number;
  readonly reusedChunks: number;
  readonly reusedBytes: number;
  readonly largeObjects: number;
}

/** What a caller tells about a restore point; the rest is known to the run. */
export interface RestorePointFacts {
  readonly lineage: Lineage;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** When the snapshot was taken: the time in the restore point's id. */
  readonly snapshotAt: string;
  readonly source: SourceFacts;
  readonly snapshot: SnapshotFacts;
  readonly tool: ToolFacts;
  /** Selection flags and settings that shaped the contents. */
  readonly options: { readonly [name: string]: Json };
  readonly tags: { readonly [name: string]: string };
  readonly textEncoding: "utf8" | "latin1";
  readonly warnings: readonly string[];
  /** Only in a cluster restore point. */
  readonly cluster?: ClusterFacts;
}

/** The part of a manifest that can be read alone. */
export interface RestorePointSummary extends RestorePointFacts {
  readonly id: string;
  readonly runId: string;
  readonly parentId: string | null;
  readonly finishedAt: string;
  readonly totals: Totals;
  /** Only in a copy. */
  readonly copiedFrom?: CopiedFrom;
}

/** `[page index, offset, length]` of bytes in a list page. */
export type ListSpan = readonly [number, number, number];

/** How the relation was stored by the server, as far as it was asked. Grows with incremental reading. */
export interface RelationStorage {
  readonly tablespaceOid?: number;
  readonly filenode?: number;
  readonly persistence?: string;
  readonly accessMethod?: string | null;
  readonly columnFingerprint?: string;
  readonly typeFingerprint?: string;
  readonly alwaysReadBecause?: string | null;
  readonly isStable?: boolean;
}

/** The data of one TABLE DATA entry. */
export interface RelationRecord extends Omit<FinishedList, "objectCount"> {
  readonly dumpId: number;
  readonly oid: number;
  readonly namespace: string;
  readonly name: string;
  readonly storage: RelationStorage | null;
  /** Null where it is not known or makes no sense. */
  readonly blockCount: number | null;
  readonly segmentBlocks: number | null;
}

/** The data of one BLOBS entry. */
export interface LargeObjectSet extends Omit<FinishedList, "rowCount"> {
  readonly dumpId: number;
}

/** `[name, size in bytes, SHA-256 in hex]`. */
export type PackRecord = readonly [string, number, string];

/** `[pack index, item number, offset, raw length]`. */
export type PageRecord = readonly [number, number, number, number];

/** The part of a manifest that tells where everything lies. */
export interface ManifestBody {
  readonly packs: readonly PackRecord[];
  readonly pages: readonly PageRecord[];
  readonly relations: readonly RelationRecord[];
  readonly largeObjects: readonly LargeObjectSet[];
  readonly incremental: Json;
  /** Roles, memberships, tablespaces: all of a server's, or those that one database needs. Holds password hashes. */
  readonly globals?: Json;
}

/** All of a manifest but the archive's table of contents. */
export interface Manifest extends RestorePointSummary, ManifestBody {}

/** The bytes of a summary. */
export function encodeSummary(summary: RestorePointSummary): Uint8Array {
  const bytes = Buffer.from(JSON.stringify(summary));
  if (bytes.length <= SUMMARY_BYTES_MAX) return bytes;
  throw new OperatingError("value_too_large", `the restore point's summary has ${bytes.length} bytes`, {
    hint: "Use fewer tags and selection flags (a --filter file of patterns instead of single names).",
  });
}

/** The bytes of a body. */
export function encodeBody(body: ManifestBody): Uint8Array {
  return Buffer.from(JSON.stringify(body));
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** Reads a summary; null when it is none. */
export function decodeSummary(bytes: Uint8Array): RestorePointSummary | null {
  const json = parse(bytes);
  if (!isObject(json) || !isObject(json["lineage"]) || !isObject(json["totals"])) return null;
  const { id, runId, lineage, snapshotAt, finishedAt } = json;
  const isRight =
    [id, runId].every((value) => typeof value === "string" && isId(value)) &&
    [snapshotAt, finishedAt].every((value) => typeof value === "string") &&
    [lineage["name"], lineage["systemIdentifier"]].every((value) => typeof value === "string") &&
    isCount(lineage["databaseOid"]) &&
    Object.values(json["totals"]).every(isCount) &&
    (json["cluster"] === undefined || isCluster(json["cluster"])) &&
    (json["copiedFrom"] === undefined || isCopiedFrom(json["copiedFrom"]));
  return isRight ? (json as unknown as RestorePointSummary) : null;
}

function isCopiedFrom(json: unknown): boolean {
  if (!isObject(json)) return false;
  const { at, repositoryId, restorePointId } = json;
  return [at, repositoryId].every((value) => typeof value === "string") && isId(String(restorePointId));
}

function isCluster(json: unknown): boolean {
  if (!isObject(json) || !Array.isArray(json["members"]) || !Array.isArray(json["leftOut"])) return false;
  return json["members"].every((member: unknown) => {
    if (!isObject(member) || typeof member["databaseName"] !== "string") return false;
    const { restorePointId, rowCount, rawBytes, sealedBytes, newBytes } = member;
    const isPoint = restorePointId === null || (typeof restorePointId === "string" && isId(restorePointId));
    return isPoint && [rowCount, rawBytes, sealedBytes, newBytes].every(isCount);
  });
}

/** Reads a body; null when it is none or its references lead nowhere. */
export function decodeBody(bytes: Uint8Array): ManifestBody | null {
  try {
    return checkBody(parse(bytes));
  } catch (error) {
    // A field of another type than expected: without encryption, anybody may have written it.
    if (error instanceof TypeError) return null;
    throw error;
  }
}

function checkBody(json: unknown): ManifestBody | null {
  if (!isObject(json)) return null;
  const body = json as unknown as ManifestBody;
  if (![body.packs, body.pages, body.relations, body.largeObjects].every(Array.isArray)) return null;
  const isRight =
    body.packs.every(([name, size, sha256]) => isPackName(name) && isCount(size) && /^[0-9a-f]{64}$/.test(sha256)) &&
    body.pages.every((page) => page.length === 4 && page.every(isCount) && page[0] < body.packs.length) &&
    [...body.relations, ...body.largeObjects].every((record) => isListed(record, body));
  return isRight ? body : null;
}

function isListed(record: RelationRecord | LargeObjectSet, body: ManifestBody): boolean {
  const { dumpId, list, packs, rawBytes, sealedBytes, chunkCount, deltaChunkCount = 0 } = record;
  return (
    [dumpId, rawBytes, sealedBytes, chunkCount, deltaChunkCount].every(isCount) &&
    packs.every((index) => isCount(index) && index < body.packs.length) &&
    list.every((span) => {
      const page = body.pages[span[0]];
      return span.length === 3 && span.every(isCount) && page !== undefined && span[1] + span[2] <= page[3];
    })
  );
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8"));
  } catch {
    return null;
  }
}
