// A whole server as one file of plain SQL, as pg_dumpall writes it: globals, then each database, created and connected to.

import { OperatingError } from "../../base/errors.ts";
import { CLUSTER_DUMP_END, globalsText } from "../../globals/index.ts";
import type { ClusterFacts, Repository, RestorePoint } from "../../repository/index.ts";
import { connectCommand, sqlScript } from "../../restore/index.ts";
import type { TemporaryFile } from "../archive-file/file-sink.ts";
import { beginPhase } from "../events.ts";
import { globalsOf } from "../globals-facts.ts";
import type { OperationContext } from "../operation.ts";
import { RestorePointContents } from "../restore-point-contents.ts";
import { reporter, type Counts } from "./write-entries.ts";

/** Databases that initdb makes: the script only fills them. */
const ON_EVERY_SERVER = new Set(["template1", "postgres"]);

interface ClusterWriting {
  readonly repository: Repository;
  readonly restorePoint: RestorePoint;
  readonly cluster: ClusterFacts;
  readonly restrictKey: string;
}

/** Rows and bytes of all databases together. */
export function clusterTotals({ members }: ClusterFacts): { readonly rows: number; readonly rawBytes: number } {
  return {
    rows: members.reduce((sum, { rowCount }) => sum + rowCount, 0),
    rawBytes: members.reduce((sum, { rawBytes }) => sum + rawBytes, 0),
  };
}

/** Writes the script. Throws "restore_incomplete" where a database is missing. */
export async function writePlainCluster(
  context: OperationContext,
  file: TemporaryFile,
  writing: ClusterWriting,
): Promise<Counts> {
  const { repository, restorePoint, cluster, restrictKey } = writing;
  const globals = globalsOf(restorePoint.manifest);
  const missing = cluster.members.filter(({ restorePointId }) => restorePointId === null);
  if (globals === null || missing.length > 0) {
    const names = missing.map(({ databaseName }) => `"${databaseName}"`).join(", ");
    throw new OperatingError("restore_incomplete", `the cluster restore point lacks ${names || "its roles"}`, {
      hint: "Export the restore points of its databases one by one.",
    });
  }
  for (const { databaseName } of cluster.members) connectCommand(databaseName);
  await file.write(Buffer.from(globalsText(globals, { restrictKey, hasDatabases: true }), globals.textEncoding));
  await file.write(Buffer.from("--\n-- Databases\n--\n\n"));
  const counts: Counts = { rowCount: 0, rawBytes: 0 };
  const totalBytes = clusterTotals(cluster).rawBytes;
  const report = reporter(context, { counts, totalBytes, storedBytes: () => file.sizeBytes });
  for (const { databaseName, restorePointId } of cluster.members) {
    beginPhase(context, "write", `${databaseName}: writing ${restorePointId}`);
    const contents = await RestorePointContents.open(
      await repository.openRestorePoint(restorePointId ?? "", context.signal),
    );
    const create = !ON_EVERY_SERVER.has(databaseName);
    const title = databaseName.replaceAll(/[\r\n]/g, " ");
    const connect = create ? "" : `${connectCommand(databaseName)}\n`;
    await file.write(Buffer.from(`--\n-- Database "${title}" dump\n--\n\n${connect}`));
    const onData = (added: { readonly rawBytes: number; readonly rowCount: number }): void => {
      counts.rawBytes += added.rawBytes;
      counts.rowCount += added.rowCount;
      report();
    };
    for await (const bytes of sqlScript(contents, { restrictKey, create, signal: context.signal, onData })) {
      await file.write(bytes);
    }
  }
  await file.write(Buffer.from(CLUSTER_DUMP_END));
  return counts;
}
