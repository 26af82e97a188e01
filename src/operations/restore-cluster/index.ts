// `cairn restore --cluster`.

export { runClusterRestore } from "./restore-cluster.ts";
export type { ClusterRestoreReport, ClusterRestoreSettings, RestoredDatabase } from "./types.ts";
