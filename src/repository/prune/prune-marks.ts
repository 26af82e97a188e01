// Marks of restore points that are gone: of no use, except what they say of damage in packs that are still there.

import { messageOf } from "../../base/errors.ts";
import type { RepositoryContext } from "../context.ts";
import { isId, MARKS_PREFIX, timeOfId } from "../identifiers.ts";
import { readVerifyMarks } from "../marks.ts";
import type { PruneWork } from "./types.ts";

interface MarkObject {
  readonly name: string;
  readonly restorePointId: string;
  readonly sizeBytes: number;
}

/** All marks. To be listed before the manifests: a mark is written after its manifest. */
export async function listMarks(context: RepositoryContext, signal?: AbortSignal): Promise<readonly MarkObject[]> {
  const marks: MarkObject[] = [];
  for await (const { name, sizeBytes } of context.storage.list(MARKS_PREFIX, signal)) {
    const [restorePointId = ""] = name.slice(MARKS_PREFIX.length).split("/");
    if (isId(restorePointId)) marks.push({ name, restorePointId, sizeBytes });
  }
  return marks;
}

/** Deletes marks of restore points that are gone, when these are older than the grace. */
export async function deleteMarksOfNobody(work: PruneWork, marks: readonly MarkObject[]): Promise<void> {
  const { context, options, survey } = work;
  const there = new Set(survey.manifests.map(({ id }) => id));
  const youngestMs = context.clock.now().getTime() - options.graceMs;
  for (const mark of marks) {
    options.signal?.throwIfAborted();
    const isOld = timeOfId(mark.restorePointId).getTime() <= youngestMs;
    if (there.has(mark.restorePointId) || !isOld || (await saysOfLivingPack(work, mark))) continue;
    work.decide(await deleteMark(work, mark));
  }
}

async function deleteMark({ beacon, context, options }: PruneWork, mark: MarkObject) {
  const { name, sizeBytes } = mark;
  const decision = {
    action: "mark-deleted",
    name,
    sizeBytes,
    reason: "its restore point is gone",
    failure: null,
  } as const;
  if (options.isDryRun) return decision;
  try {
    beacon?.check();
    await context.storage.delete(name, options.signal);
    return decision;
  } catch (error) {
    options.signal?.throwIfAborted();
    return { ...decision, failure: messageOf(error) };
  }
}

/** True for a mark of damage in a pack that is there, or that a restore point comes from when its items went elsewhere. */
async function saysOfLivingPack({ context, options, survey }: PruneWork, mark: MarkObject): Promise<boolean> {
  if (!mark.name.startsWith(`${MARKS_PREFIX}${mark.restorePointId}/damage-`)) return false;
  const filter = { restorePointId: mark.restorePointId, kind: "damage" } as const;
  for await (const { damage } of readVerifyMarks(context, filter, options.signal)) {
    if (damage.some(({ pack }) => survey.packs.has(pack) || survey.needed.has(pack))) return true;
  }
  return false;
}
