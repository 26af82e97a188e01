// Check: the structure of the whole repository without its data (manifests, packs, contents, lists, references, sizes,
// marks, prune lists), and a part of the data when asked. What is damaged is named by restore point and table, and marked,
// so that the next backup stores it anew. Memory: that of a survey, the contents of some packs, a few pages of lists.

import { messageOf, OperatingError } from "../../base/errors.ts";
import type { ChunkReader } from "../chunk-reader.ts";
import type { RepositoryContext } from "../context.ts";
import { findLeftovers } from "../leftovers.ts";
import type { ManifestObject } from "../manifest-objects.ts";
import { readDamage, writeVerifyMark } from "../marks.ts";
import type { Damage } from "../marks.ts";
import { readPruneLists } from "../prune/prune-lists.ts";
import { surveyRepository } from "../prune/survey.ts";
import type { Survey } from "../prune/survey.ts";
import { isDamage, openManifest, RestorePoint } from "../restore-point.ts";
import type { RunObserver } from "../run-record.ts";
import { ReferenceChecker } from "./check-references.ts";
import type { CheckGround } from "./check-references.ts";
import { PackContentsReader } from "./pack-contents.ts";
import { readData } from "./read-data.ts";
import type { CheckFinding, CheckOptions, CheckResult } from "./types.ts";

interface CheckPlace {
  readonly context: RepositoryContext;
  readonly observer: RunObserver;
  readonly chunks: ChunkReader;
}

interface CheckedRestorePoint {
  readonly id: string;
  readonly damage: readonly Damage[];
  readonly findings: readonly CheckFinding[];
  readonly chunkCount: number;
}

/** Checks the repository. Throws OperatingError "locked" when a prune moved what was being looked at. */
export async function check(place: CheckPlace, options: CheckOptions): Promise<CheckResult> {
  const { context, observer } = place;
  const findings = await checkSmallObjects(context, options.signal);
  const survey = await surveyRepository(context, observer, options.signal);
  const packs = new Map([...survey.packs].filter(([pack]) => survey.needed.has(pack)));
  const contents = new PackContentsReader(context, survey.packs);
  const read = await readData(context, packs, contents, options);
  let chunkCount = 0;
  const damaged: CheckedRestorePoint[] = [];
  for (const [index, object] of survey.manifests.entries()) {
    options.signal?.throwIfAborted();
    const checked = await checkRestorePoint(place, object, { survey, contents, read }, options.signal);
    findings.push(...checked.findings);
    chunkCount += checked.chunkCount;
    if (checked.findings.length > 0) damaged.push(checked);
    options.onProgress?.({ phase: "structure", fractionDone: (index + 1) / survey.manifests.length });
  }
  findings.push(...movedFindings(survey));
  if (damaged.length > 0) await refuseChanged(place, packs, options.signal);
  for (const { damage, id } of damaged) await mark(context, id, damage);
  return {
    findings,
    restorePointCount: survey.manifests.length,
    packCount: packs.size,
    packBytes: [...packs.values()].reduce((sum, size) => sum + size, 0),
    chunkCount,
    readPackCount: read.packCount,
    readBytes: read.bytes,
    leftovers: await findLeftovers(context, observer, options.signal),
  };
}

/** What is missing because a prune moved it meanwhile is no damage. */
async function refuseChanged(
  { context, observer }: CheckPlace,
  packs: ReadonlyMap<string, number>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const now = await surveyRepository(context, observer, signal);
  if (![...packs.keys()].some((pack) => !now.packs.has(pack) && now.movedPacks.has(pack))) return;
  throw new OperatingError("locked", "a prune repacked what was being checked", {
    hint: "Run the check again when the prune has ended.",
    retryable: true,
  });
}

/** Prune lists and marks of damage, without which neither backups nor prunes would run. */
async function checkSmallObjects(context: RepositoryContext, signal: AbortSignal | undefined): Promise<CheckFinding[]> {
  const findings: CheckFinding[] = [];
  for (const [object, read] of [
    ["prune lists", async () => await readPruneLists(context, signal)],
    ["marks of damage", async () => await readDamage(context, signal)],
  ] as const) {
    try {
      await read();
    } catch (error) {
      if (!isDamage(error)) throw error;
      findings.push({ restorePointId: null, object, reason: messageOf(error), tables: [] });
    }
  }
  return findings;
}

/** Lists of moved items that cannot be read; manifests that cannot be are found one by one. */
function movedFindings({ manifests, unreadable }: Survey): CheckFinding[] {
  const names = new Set(manifests.map(({ name }) => name));
  const moved = unreadable.filter((name) => !names.has(name));
  return moved.map((object) => ({ restorePointId: null, object, reason: "it cannot be read", tables: [] }));
}

async function checkRestorePoint(
  { chunks, context }: CheckPlace,
  object: ManifestObject,
  ground: CheckGround,
  signal: AbortSignal | undefined,
): Promise<CheckedRestorePoint> {
  const { id, name } = object;
  const nothing = { id, damage: [], chunkCount: 0 };
  let restorePoint: RestorePoint;
  try {
    const opened = await openManifest(context, name, await context.storage.read(name, undefined, signal));
    restorePoint = new RestorePoint(context, chunks, opened);
  } catch (error) {
    if (!isDamage(error)) throw error;
    // One that an expire removed meanwhile is no damage.
    if ((await context.storage.head(name, signal)) === null) return { ...nothing, findings: [] };
    const finding = { restorePointId: id, object: name, reason: messageOf(error), tables: ["all tables"] };
    return { ...nothing, findings: [finding] };
  }
  const checker = new ReferenceChecker(ground, restorePoint, signal);
  const damage = await checker.run();
  return { id, damage, findings: groupDamage(id, damage), chunkCount: checker.chunkCount };
}

/** Damage is empty when the manifest itself is damaged. */
async function mark(context: RepositoryContext, restorePointId: string, damage: readonly Damage[]): Promise<void> {
  const at = context.clock.now().toISOString();
  await writeVerifyMark(context, "damage", { restorePointId, at, chunkCount: 0, rawBytes: 0, damage });
}

/** One finding for each damaged place, with all tables that it touches. */
function groupDamage(restorePointId: string, damage: readonly Damage[]): CheckFinding[] {
  const places = Map.groupBy(damage, ({ itemNumber, pack }) => JSON.stringify([pack, itemNumber]));
  return [...places.values()].map((found) => {
    const { itemNumber, pack, reason } = found[0]!;
    const object = itemNumber === null ? `pack ${pack}` : `item ${itemNumber} of pack ${pack}`;
    // A pack as a whole touches what its damaged items touch.
    const touching = itemNumber === null ? damage.filter((one) => one.pack === pack) : found;
    const tables = [...new Set(touching.flatMap(({ relation }) => relation ?? []))];
    return { restorePointId, object, reason, tables };
  });
}
