// The manifests that a repository has, by their names: lineage and id, without reading them.

import type { RepositoryContext } from "./context.ts";
import { BACKUPS_PREFIX, isId, isLineageKey, manifestObjectName } from "./identifiers.ts";
import type { RestorePointPlace } from "./references.ts";

/** A manifest before it is read. */
export interface ManifestObject extends RestorePointPlace {
  readonly name: string;
  readonly sizeBytes: number;
  /** See StoredObject. */
  readonly version?: string;
}

/** All manifests; what has another name under their folder is no manifest. */
export async function listManifests(context: RepositoryContext, signal?: AbortSignal): Promise<ManifestObject[]> {
  const objects: ManifestObject[] = [];
  for await (const { name, sizeBytes, version } of context.storage.list(BACKUPS_PREFIX, signal)) {
    const [lineageKey = "", id = ""] = name.slice(BACKUPS_PREFIX.length).split("/");
    if (!isLineageKey(lineageKey) || !isId(id) || manifestObjectName(lineageKey, id) !== name) continue;
    objects.push({ lineageKey, id, name, sizeBytes, ...(version !== undefined && { version }) });
  }
  return objects;
}
